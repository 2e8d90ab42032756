import type { Result } from "./result";

/** The kept results, in this browser's IndexedDB and nowhere else. */

const NAME = "lesionlens";
const RESULTS = "results";

/** To the other pages that are open. */
const channel = new BroadcastChannel("lesionlens-history");

/** Calls `listener` when another page has kept or deleted results. */
export function onChange(listener: () => void): void {
  channel.addEventListener("message", listener);
}

/** All results, the oldest first. */
export async function all(): Promise<Result[]> {
  const [results] = await work<Result[]>("readonly", (store) => [store.getAll()]);
  return (results ?? []).sort((a, b) => a.date - b.date);
}

/** Keeps `results`, all or none; those of the same ids are replaced. */
export async function put(...results: Result[]): Promise<void> {
  await change((store) => results.map((result) => store.put(result)));
}

export async function remove(id: string): Promise<void> {
  await change((store) => [store.delete(id)]);
}

export async function removeAll(): Promise<void> {
  await change((store) => [store.clear()]);
}

/** Whether the browser has promised not to throw the results away. */
export async function isToStay(): Promise<boolean> {
  return (await navigator.storage?.persisted?.()) ?? false;
}

/** Asks the browser not to throw the results away when it needs room. */
export async function askToStay(): Promise<void> {
  await navigator.storage?.persist?.();
}

async function change(act: (store: IDBObjectStore) => IDBRequest[]): Promise<void> {
  await work("readwrite", act);
  channel.postMessage(null);
}

/** Resolves to what all requests of `act` came to, once they are done for good. */
async function work<T>(
  mode: IDBTransactionMode,
  act: (store: IDBObjectStore) => IDBRequest<T>[],
): Promise<T[]> {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(RESULTS, mode);
      const requests = act(transaction.objectStore(RESULTS));
      transaction.oncomplete = () => resolve(requests.map((request) => request.result));
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
