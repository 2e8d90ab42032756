import { LONGEST_SILENCE } from "../silence";
import { isPageKept } from "./downloads";

/** Installs the service worker; resolves to whether the page needs no network from now on. */
export async function install(): Promise<boolean> {
  try {
    const registration = await navigator.serviceWorker.register("/service-worker.js");
    const worker = registration.active ?? registration.waiting ?? registration.installing;
    if (!worker || !(await isActivated(worker))) return false;
    // One that was uninstalled comes back as it was, where a page is open that it still serves.
    return (await isPageKept()) || (await fillAgain(worker));
  } catch {
    return false;
  }
}

export async function uninstall(): Promise<void> {
  const registration = await navigator.serviceWorker.getRegistration();
  await registration?.unregister();
}

function isActivated(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (): void => {
      if (worker.state === "activated" || worker.state === "redundant") {
        resolve(worker.state === "activated");
      }
    };
    worker.addEventListener("statechange", settle);
    settle();
    setTimeout(resolve, LONGEST_SILENCE, false);
  });
}

function fillAgain(worker: ServiceWorker): Promise<boolean> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.addEventListener("message", ({ data }) => resolve(data === true), { once: true });
    port1.start();
    worker.postMessage(null, [port2]);
    setTimeout(resolve, LONGEST_SILENCE, false);
  });
}
