/** Leads events of the input core to the PS/2 keyboard and mouse. */
import { INPUT_BUTTON, INPUT_KEY, INPUT_RELATIVE, type InputCore } from './input-core.ts';
import { PointerTotals } from './pointer-totals.ts';
import type { Ps2Keyboard, Ps2Mouse } from './ps2.ts';

export function joinPs2(input: InputCore, keyboard: Ps2Keyboard, mouse: Ps2Mouse): void {
  input.join({
    name: 'QEMU PS/2 Keyboard',
    takes: INPUT_KEY,
    event: (event) => {
      if (event.type === 'key' && event.key.set2 !== 0) keyboard.sendKey(event.key.set2, event.down);
    },
    sync: () => {},
  });
  const totals = new PointerTotals();
  input.join({
    name: 'QEMU PS/2 Mouse',
    takes: INPUT_BUTTON | INPUT_RELATIVE,
    event: (event) => totals.add(event),
    sync: () => {
      const { dx, dy, dz, buttons } = totals.take();
      mouse.move(dx, -dy, dz, buttons);
    },
  });
}
