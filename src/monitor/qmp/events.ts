/** Life-cycle events as the control protocol names them (QEMU qapi/run-state.json, documentation of the events). */
import type { LifecycleEvent } from '../../system/lifecycle.ts';
import type { JsonObject } from './json.ts';

export interface QmpEvent {
  readonly name: string;
  readonly data: JsonObject | undefined;
}

export function shutdownEvent(guest: boolean, reason: string): QmpEvent {
  return { name: 'SHUTDOWN', data: { guest, reason } };
}

export function lifecycleEvent(event: LifecycleEvent): QmpEvent | undefined {
  switch (event.kind) {
    case 'resume':
      return { name: 'RESUME', data: undefined };
    case 'stop':
      return { name: 'STOP', data: undefined };
    case 'powerdown':
      return { name: 'POWERDOWN', data: undefined };
    case 'reset': {
      const guest = event.reason !== 'host-reset';
      return { name: 'RESET', data: { guest, reason: guest ? 'guest-reset' : 'host-qmp-system-reset' } };
    }
    case 'shutdown':
      return shutdownEvent(event.reason !== 'host-shutdown', event.reason);
    case 'end':
      return undefined;
  }
}
