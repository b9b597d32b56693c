/** Requests of the main thread to another one, each answered once, by number. */
import { AssertionError, UserError } from '../../util/errors.ts';

export type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The answer to a request; the code `Bug` is a mistake of ours. */
export type WorkerAnswer =
  | { readonly kind: 'done'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly code: string; readonly message: string };

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class WorkerRequests {
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;

  /** `send` posts the request under the number it is given. Rejects with `UserError` for a user's mistake. */
  request(send: (id: number) => void): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      send(id);
    });
  }

  answer(answer: WorkerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.kind === 'done') waiting?.resolve(answer.value);
    else if (answer.code === 'Bug') waiting?.reject(new AssertionError(answer.message));
    else waiting?.reject(new UserError(answer.code, answer.message));
  }

  /** The thread has ended: nothing will be answered any more. */
  fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
