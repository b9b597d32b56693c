/** Interrupt controllers in the kernel, as the board drives them. */
import { IRQCHIP_IOAPIC, IRQCHIP_PIC_MASTER, IRQCHIP_PIC_SLAVE } from './bindings/x86.ts';
import type { GsiRoute, VmFd } from './ioctls/vm-fd.ts';

/** Interrupt inputs of the I/O APIC; message-signalled routes come after them. */
export const IOAPIC_PINS = 24;
const PIT_FLAGS = 72;
const PIT_FLAG_HPET_LEGACY = 1;
const PIT_ISA_IRQ = 0;
/** The 8254's interrupt arrives at this input of the I/O APIC (MPS 5.1), as our ACPI tables say. */
const PIT_IOAPIC_PIN = 2;
const CASCADE = 2;

export class KernelIrqchip {
  readonly #vm: VmFd;
  readonly #msis = new Map<number, { address: number; data: number }>();

  constructor(vm: VmFd) {
    this.#vm = vm;
    this.#updateRoutes();
  }

  /** Level of ISA interrupt or GSI `gsi`. */
  setIrq(gsi: number, level: boolean): void {
    this.#vm.setIrqLine(gsi, level);
  }

  sendMsi(address: number, data: number): void {
    this.#vm.signalMsi(address, data);
  }

  /** Counter 0 of the 8254 drives its interrupt, or leaves it to an HPET in legacy mode. */
  setPitIrqEnabled(enabled: boolean): void {
    const state = this.#vm.getPit();
    const view = new DataView(state.buffer);
    const flags = view.getUint32(PIT_FLAGS, true) & ~PIT_FLAG_HPET_LEGACY;
    view.setUint32(PIT_FLAGS, flags | (enabled ? 0 : PIT_FLAG_HPET_LEGACY), true);
    this.#vm.setPit(state);
  }

  // --- messages and eventfds, for virtio queues

  /** A GSI that sends this message: what an irqfd of an MSI-X vector is tied to. */
  addMsiRoute(address: number, data: number): number {
    let gsi = IOAPIC_PINS;
    while (this.#msis.has(gsi)) gsi++;
    this.#msis.set(gsi, { address, data });
    this.#updateRoutes();
    return gsi;
  }

  changeMsiRoute(gsi: number, address: number, data: number): void {
    this.#msis.set(gsi, { address, data });
    this.#updateRoutes();
  }

  removeMsiRoute(gsi: number): void {
    if (this.#msis.delete(gsi)) this.#updateRoutes();
  }

  #updateRoutes(): void {
    this.#vm.setGsiRouting([
      ...legacyRoutes(),
      ...[...this.#msis].map(([gsi, { address, data }]) => ({ gsi, kind: 'msi' as const, address, data })),
    ]);
  }
}

/** ISA interrupts go to the 8259 pair and the I/O APIC, GSI 16 to 23 to the latter only. */
export function legacyRoutes(): GsiRoute[] {
  const routes: GsiRoute[] = [];
  for (let irq = 0; irq < 16; irq++) {
    if (irq === CASCADE) continue;
    const chip = irq < 8 ? IRQCHIP_PIC_MASTER : IRQCHIP_PIC_SLAVE;
    routes.push({ gsi: irq, kind: 'irqchip', chip, pin: irq & 7 });
    routes.push({
      gsi: irq,
      kind: 'irqchip',
      chip: IRQCHIP_IOAPIC,
      pin: irq === PIT_ISA_IRQ ? PIT_IOAPIC_PIN : irq,
    });
  }
  for (let pin = 16; pin < IOAPIC_PINS; pin++)
    routes.push({ gsi: pin, kind: 'irqchip', chip: IRQCHIP_IOAPIC, pin });
  return routes;
}
