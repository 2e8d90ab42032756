/** A copy of the only child of the template that `selector` finds. */
export function clone(selector: string): HTMLElement {
  const template = document.querySelector<HTMLTemplateElement>(selector);
  const element = template?.content.firstElementChild?.cloneNode(true);
  if (!(element instanceof HTMLElement)) throw new Error(`The page has no ${selector}`);
  return element;
}

/** The place of this name within `element`. */
export function slot<E extends HTMLElement = HTMLElement>(element: Element, name: string): E {
  const found = element.querySelector<E>(`[data-slot="${name}"]`);
  if (!found) throw new Error(`There is no slot ${name}`);
  return found;
}
