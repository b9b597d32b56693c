import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PANIC_ACTIONS, panicSteps, WATCHDOG_ACTIONS, watchdogSteps } from './actions.ts';

test('actions: what peers hear of a panic and what is done', () => {
  const told = PANIC_ACTIONS.map((action) => {
    const { events, act } = panicSteps(action);
    return [...events.map(([name, data]) => `${name} ${(data as { action: string }).action}`), act].join(
      ', ',
    );
  });
  assert.deepEqual(told, [
    'GUEST_PANICKED run, none',
    'GUEST_PANICKED pause, pause',
    'GUEST_PANICKED pause, GUEST_PANICKED poweroff, guest-panic',
    'GUEST_PANICKED pause, GUEST_PANICKED poweroff, exit-failure',
  ]);
});

test('actions: a watchdog tells what it does', () => {
  for (const action of WATCHDOG_ACTIONS)
    assert.deepEqual(watchdogSteps(action).events, [['WATCHDOG', { action }]]);
  assert.equal(watchdogSteps('reset').act, 'reset');
  assert.equal(watchdogSteps('inject-nmi').act, 'nmi');
});
