/** The page's element of this id. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}`);
  return element as E;
}

/** A copy of the only child of `template`. */
export function clone(template: HTMLTemplateElement): HTMLElement {
  const child = template.content.firstElementChild;
  // Pictures in a template's own document are never loaded.
  const element = child && document.importNode(child, true);
  if (!(element instanceof HTMLElement)) throw new Error("A template of the page is empty");
  return element;
}

/** The place within `element` whose attribute data-slot, or another, says `name`. */
export function slot<E extends HTMLElement = HTMLElement>(
  element: Element,
  name: string,
  attribute = "slot",
): E {
  const found = element.querySelector<E>(`[data-${attribute}="${name}"]`);
  if (!found) throw new Error(`There is no ${attribute} ${name}`);
  return found;
}

/** Writes `text` into the slot of this name within `element`. */
export function put(element: Element, name: string, text: string): void {
  slot(element, name).textContent = text;
}
