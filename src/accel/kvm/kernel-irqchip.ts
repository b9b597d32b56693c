/** Interrupt controllers in the kernel, as the board drives them. */

import type { AcceleratedIrqs, IoApicRoute } from '../../core/cpu-ports.ts';
import type { SavedState } from '../../core/vmstate.ts';
import type { VcpuBus } from '../accelerator.ts';
import { IRQCHIP_IOAPIC, IRQCHIP_PIC_MASTER, IRQCHIP_PIC_SLAVE, SREGS_APIC_BASE } from './bindings/x86.ts';
import type { VcpuFd } from './ioctls/vcpu-fd.ts';
import type { GsiRoute, VmFd } from './ioctls/vm-fd.ts';
import {
  apicBaseOf,
  ioapicFromKernel,
  ioapicToKernel,
  isaLines,
  lapicFromKernel,
  lapicToKernel,
  picsFromKernel,
  picToKernel,
  pitFromKernel,
  pitToKernel,
  tscDeadlineOf,
} from './irqchip-state.ts';

/** Interrupt inputs of the I/O APIC; message-signalled routes come after them. */
export const IOAPIC_PINS = 24;
const PIT_FLAGS = 72;
const PIT_FLAG_HPET_LEGACY = 1;
const PIT_ISA_IRQ = 0;
/** The 8254's interrupt arrives at this input of the I/O APIC (MPS 5.1), as our ACPI tables say. */
const PIT_IOAPIC_PIN = 2;
const CASCADE = 2;

const MSR_TSC_DEADLINE = 0x6e0;

/** A vCPU as far as its local APIC is concerned. `bus.readTsc` is virtual time in nanoseconds. */
export interface ApicCpu {
  readonly index: number;
  readonly fd: VcpuFd;
  readonly bus: Pick<VcpuBus, 'readTsc'>;
}

/** The board's name for the local APIC of a vCPU. */
function apicName(index: number): string {
  return index === 0 ? 'apic' : `apic${index}`;
}

/** Local APICs in the kernel: their states, and messages to them. */
export class KernelApics implements AcceleratedIrqs {
  protected readonly vm: VmFd;
  readonly #cpus: () => readonly ApicCpu[];

  /** `cpus` by index; not asked for before the first state is moved. */
  constructor(vm: VmFd, cpus: () => readonly ApicCpu[]) {
    this.vm = vm;
    this.#cpus = cpus;
  }

  /** Virtual time. */
  protected nowNs(): number {
    return this.#cpus()[0]!.bus.readTsc();
  }

  sendMsi(address: number, data: number): void {
    this.vm.signalMsi(address, data);
  }

  load(states: ReadonlyMap<string, SavedState>): void {
    for (const { fd, bus, index } of this.#cpus()) {
      const saved = states.get(apicName(index));
      if (saved === undefined) continue;
      setApicBase(fd, apicBaseOf(saved));
      fd.setLapic(lapicToKernel(saved, bus.readTsc()));
      fd.setMsrs([{ index: MSR_TSC_DEADLINE, value: tscDeadlineOf(saved) }]);
    }
  }

  save(states: ReadonlyMap<string, SavedState>): ReadonlyMap<string, SavedState> {
    const out = new Map(states);
    for (const { fd, bus, index } of this.#cpus()) {
      const saved = states.get(apicName(index));
      if (saved === undefined) continue;
      const sregs = fd.getSregs();
      const apicBase = new DataView(sregs.buffer).getBigUint64(SREGS_APIC_BASE, true);
      const tscDeadline = fd.getMsrs([MSR_TSC_DEADLINE])[0]?.value ?? 0n;
      const page = fd.getLapic();
      out.set(apicName(index), lapicFromKernel(saved, page, { apicBase, tscDeadline, nowNs: bus.readTsc() }));
    }
    return out;
  }
}

function setApicBase(fd: VcpuFd, value: bigint): void {
  const sregs = fd.getSregs();
  new DataView(sregs.buffer).setBigUint64(SREGS_APIC_BASE, value, true);
  fd.setSregs(sregs);
}

/** The local APICs without the rest (`kernel-irqchip=split`): the board's I/O APIC tells what it sends. */
export class SplitIrqchip extends KernelApics {
  /** The kernel tells the end of interrupts whose vectors are in this table as level-triggered. */
  setIoApicRoutes(routes: readonly IoApicRoute[]): void {
    this.vm.setGsiRouting(routes.map(({ address, data }, gsi) => ({ gsi, kind: 'msi', address, data })));
  }
}

export class KernelIrqchip extends KernelApics {
  /** Levels last set, a bit per GSI. */
  #lines = 0;
  readonly #msis = new Map<number, { address: number; data: number }>();

  constructor(vm: VmFd, cpus: () => readonly ApicCpu[]) {
    super(vm, cpus);
    this.#updateRoutes();
  }

  /** Level of ISA interrupt or GSI `gsi`. */
  setIrq(gsi: number, level: boolean): void {
    this.#lines = level ? this.#lines | (1 << gsi) : this.#lines & ~(1 << gsi);
    this.vm.setIrqLine(gsi, level);
  }

  override load(states: ReadonlyMap<string, SavedState>): void {
    super.load(states);
    const pics = states.get('i8259');
    const ioapic = states.get('ioapic');
    const pit = states.get('i8254');
    for (let gsi = 0; gsi < IOAPIC_PINS; gsi++) if (gsi !== CASCADE) this.setIrq(gsi, false);
    if (ioapic !== undefined) this.vm.setIrqchip(IRQCHIP_IOAPIC, ioapicToKernel(ioapic));
    if (pics !== undefined) {
      this.vm.setIrqchip(IRQCHIP_PIC_MASTER, picToKernel(pics, 0));
      this.vm.setIrqchip(IRQCHIP_PIC_SLAVE, picToKernel(pics, 1));
      this.#restoreLines(isaLines(pics), Number(ioapic?.fields['lines'] ?? 0));
    }
    if (pit !== undefined) this.vm.setPit(pitToKernel(pit));
  }

  /** Level-triggered inputs that are high are so on both sides; an edge that was seen before is not made again. */
  #restoreLines(isa: number, ioapic: number): void {
    for (let gsi = 1; gsi < IOAPIC_PINS; gsi++) {
      if (gsi === CASCADE || (((gsi < 16 ? isa : ioapic) >> gsi) & 1) === 0) continue;
      this.setIrq(gsi, true);
    }
  }

  override save(states: ReadonlyMap<string, SavedState>): ReadonlyMap<string, SavedState> {
    const out = new Map(super.save(states));
    const pics = states.get('i8259');
    const ioapic = states.get('ioapic');
    const pit = states.get('i8254');
    const chips = [this.vm.getIrqchip(IRQCHIP_PIC_MASTER), this.vm.getIrqchip(IRQCHIP_PIC_SLAVE)] as const;
    if (pics !== undefined) out.set('i8259', picsFromKernel(pics, chips, this.#lines & 0xffff));
    if (ioapic !== undefined)
      out.set(
        'ioapic',
        ioapicFromKernel(ioapic, this.vm.getIrqchip(IRQCHIP_IOAPIC), this.#lines & ~(1 << CASCADE)),
      );
    if (pit !== undefined) out.set('i8254', pitFromKernel(pit, this.vm.getPit(), this.nowNs()));
    return out;
  }

  /** Counter 0 of the 8254 drives its interrupt, or leaves it to an HPET in legacy mode. */
  setPitIrqEnabled(enabled: boolean): void {
    const state = this.vm.getPit();
    const view = new DataView(state.buffer);
    const flags = view.getUint32(PIT_FLAGS, true) & ~PIT_FLAG_HPET_LEGACY;
    view.setUint32(PIT_FLAGS, flags | (enabled ? 0 : PIT_FLAG_HPET_LEGACY), true);
    this.vm.setPit(state);
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
    this.vm.setGsiRouting([
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
