/** What follows a guest's panic and a watchdog that ran out: `-action`, with QEMU's names and events. */
import type { ShutdownReason } from '../core/reset.ts';

export const PANIC_ACTIONS = ['none', 'pause', 'shutdown', 'exit-failure'] as const;
export const WATCHDOG_ACTIONS = [
  'none',
  'debug',
  'pause',
  'poweroff',
  'shutdown',
  'reset',
  'inject-nmi',
] as const;

export interface ActionConfig {
  readonly panic: (typeof PANIC_ACTIONS)[number];
  readonly watchdog: (typeof WATCHDOG_ACTIONS)[number];
}

export interface ActionSteps {
  readonly events: ReadonlyArray<readonly [name: string, data: object]>;
  readonly act: 'none' | 'pause' | 'reset' | 'nmi' | 'exit-failure' | ShutdownReason;
}

export function panicSteps(action: ActionConfig['panic']): ActionSteps {
  const event = (name: string): readonly [string, object] => ['GUEST_PANICKED', { action: name }];
  switch (action) {
    case 'none':
      return { events: [event('run')], act: 'none' };
    case 'pause':
      return { events: [event('pause')], act: 'pause' };
    case 'shutdown':
      return { events: [event('pause'), event('poweroff')], act: 'guest-panic' };
    case 'exit-failure':
      return { events: [event('pause'), event('poweroff')], act: 'exit-failure' };
  }
}

export function watchdogSteps(action: ActionConfig['watchdog']): ActionSteps {
  const acts = {
    none: 'none',
    debug: 'none',
    pause: 'pause',
    poweroff: 'guest-shutdown',
    shutdown: 'guest-shutdown',
    reset: 'reset',
    'inject-nmi': 'nmi',
  } as const;
  return { events: [['WATCHDOG', { action }]], act: acts[action] };
}
