import { getSystemErrorMap } from 'node:util';

/** What went wrong, in the system's words: "no such file or directory". */
export function errorReason(error: unknown): string {
  const { errno, code, message } = error as NodeJS.ErrnoException;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  return known?.[1] ?? code ?? message ?? String(error);
}
