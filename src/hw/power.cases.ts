/** A `PowerControl` that writes down what was asked of it. */
import type { PowerControl } from '../core/reset.ts';

export function recordingPower(): PowerControl & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    requestReset: (reason) => log.push(`reset ${reason}`),
    requestShutdown: (reason) => log.push(`shutdown ${reason}`),
    requestExit: (status) => log.push(`exit ${status}`),
    requestSuspend: () => log.push('suspend'),
  };
}
