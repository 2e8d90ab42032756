import type { Result } from "./result";

/** The kept results, in this browser's IndexedDB and nowhere else. */

const NAME = "lesionlens";
const RESULTS = "results";

/** All results, the oldest first. */
export async function all(): Promise<Result[]> {
  const results = await work<Result[]>("readonly", (store) => store.getAll());
  return results.sort((a, b) => a.date - b.date);
}

/** Keeps `result`; one of the same id is replaced. */
export async function put(result: Result): Promise<void> {
  await work("readwrite", (store) => store.put(result));
}

export async function remove(id: string): Promise<void> {
  await work("readwrite", (store) => store.delete(id));
}

export async function removeAll(): Promise<void> {
  await work("readwrite", (store) => store.clear());
}

/** Asks the browser not to throw the results away when it needs room. */
export async function askToStay(): Promise<void> {
  await navigator.storage?.persist?.();
}

async function work<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(RESULTS, mode);
      const request = act(transaction.objectStore(RESULTS));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(RESULTS, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
