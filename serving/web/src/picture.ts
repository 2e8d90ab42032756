/** Pixels. */
export interface Size {
  width: number;
  height: number;
}

/** A part of an upright picture as fractions: left, top, right, bottom. */
export type Cut = [number, number, number, number];

/** A picture as it is read: the file that is sent, and what is shown of it. */
export interface Picture {
  file: File;
  /** An object URL. Whoever drops the picture revokes it. */
  url: string;
  /** Pixels of the upright picture; null where this browser cannot decode it. */
  size: Size | null;
}

/**
 * Whether the browser still gets at `file`: it does not at one that was changed or moved since it was
 * chosen, nor at a folder.
 */
export async function isReadable(file: File): Promise<boolean> {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** Where pictures come in from. */
export interface Entrances {
  inputs: HTMLInputElement[];
  /** Marked with `data-over` while files are held over the page. */
  dropzones: HTMLElement[];
}

/**
 * Calls `take` with the files that are chosen, photographed, dropped anywhere or pasted, and with the
 * names of folders that were dropped with them.
 */
export function listen(
  { inputs, dropzones }: Entrances,
  take: (files: File[], folders?: string[]) => void,
): void {
  for (const input of inputs) {
    const takeChosen = (): void => {
      const files = [...(input.files ?? [])];
      // Or choosing the same file again, saved anew after a failure, would change nothing.
      input.value = "";
      if (files.length > 0) take(files);
    };
    input.addEventListener("change", takeChosen);
    // What was chosen before this script ran.
    takeChosen();
  }

  const mark = (over: boolean): void => {
    for (const zone of dropzones) zone.toggleAttribute("data-over", over);
  };
  // The whole page takes drops: a picture let go beside the box would otherwise replace the page.
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = isCovered() ? "none" : "copy";
    mark(!isCovered());
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  document.addEventListener("drop", (event) => {
    mark(false);
    const { files, folders } = dropped(event.dataTransfer);
    if (files.length + folders.length === 0) return;
    event.preventDefault();
    if (!isCovered()) take(files, folders);
  });

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    // What is pasted into a dialog's field is its text, though a picture of it may lie beside it.
    if (files.length === 0 || isCovered()) return;
    event.preventDefault();
    take(files);
  });
}

/** What was let go; among the files of `held` themselves a folder looks like one. */
function dropped(held: DataTransfer | null): { files: File[]; folders: string[] } {
  const files: File[] = [];
  const folders: string[] = [];
  for (const item of held?.items ?? []) {
    const entry = item.webkitGetAsEntry();
    const file = item.getAsFile();
    if (entry?.isDirectory) folders.push(entry.name);
    else if (file) files.push(file);
  }
  return { files, folders };
}

/** Whether a dialog lies over the page. */
function isCovered(): boolean {
  return document.querySelector("dialog[open]") !== null;
}
