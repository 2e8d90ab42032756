/** Milliseconds without a byte sent or received, after which nobody is believed to be there. */
export const LONGEST_SILENCE = 90_000;

/** Ends a request once nothing was heard of it for too long, or as `outer` is aborted. */
export class Watch {
  /** Whether silence was what ended it. */
  wasSilent = false;

  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(outer?: AbortSignal) {
    outer?.addEventListener("abort", () => this.giveUp(), { once: true });
    if (outer?.aborted) this.giveUp();
    else this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** To be called whenever a part was sent or has come. */
  heard(): void {
    this.end();
    if (this.signal.aborted) return;
    this.#timer = setTimeout(() => {
      this.wasSilent = true;
      this.giveUp();
    }, LONGEST_SILENCE);
  }

  /** To be called when all has come. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /** Ends what is still being sent or fetched. */
  giveUp(): void {
    this.end();
    this.#controller.abort();
  }
}
