/** Interrupt controllers of a PC board: the 8259 pair, local APICs, the I/O APIC, and which device leads to which input. */
import type { AddressSpace } from '../core/address-space.ts';
import type { AcceleratedIrqs, CpuIrqSink, TscSource } from '../core/cpu-ports.ts';
import { IrqLine } from '../core/irq.ts';
import { MemoryRegion, type MmioDevice } from '../core/memory-region.ts';
import type { TimerService } from '../core/timer.ts';
import { LOCAL_APIC_MMIO, LocalApic } from '../hw/intc/apic.ts';
import { ApicBus } from '../hw/intc/apic-bus.ts';
import { I8259_MMIO, I8259_PORTS, I8259Pair } from '../hw/intc/i8259.ts';
import { IOAPIC_MMIO, IoApic } from '../hw/intc/ioapic.ts';
import { FpuErrorPort } from '../hw/misc/fpu-error.ts';
import { BYTE_WIDE, type DeviceSlots } from './device-slots.ts';
import * as map from './pc-map.ts';
import { SharedIrqs } from './wired-or.ts';

export interface PcInterruptOptions {
  readonly timers: TimerService;
  /** One for each vCPU. */
  readonly cpus: ReadonlyArray<{
    readonly irqs: CpuIrqSink;
    readonly apicId: number;
    readonly tsc: TscSource;
  }>;
  /** Index of the vCPU that makes the present access. */
  readonly currentCpu: () => number;
  readonly hasX2Apic: boolean;
  /** Width of the vCPUs' physical addresses. */
  readonly physicalBits?: number;
  readonly hasTscDeadline: boolean;
  /** Interrupt controllers that the accelerator has instead of this board's. */
  readonly acceleratedIrqs?: () => AcceleratedIrqs | undefined;
}

export class PcInterrupts {
  /** By index of the vCPU. */
  readonly localApics: readonly LocalApic[];
  readonly pic: I8259Pair;
  readonly ioApic: IoApic;
  readonly apicBus: ApicBus;
  readonly fpuError: FpuErrorPort;
  readonly #options: PcInterruptOptions;
  readonly #isa: SharedIrqs;
  /** Inputs of the I/O APIC that no ISA interrupt has: 16 and up. */
  readonly #pci: SharedIrqs;

  constructor(options: PcInterruptOptions, memory: AddressSpace, slots: DeviceSlots) {
    this.#options = options;
    const irqs = (): AcceleratedIrqs | undefined => this.accelerated;
    this.apicBus = new ApicBus(irqs);
    this.pic = slots.add('i8259', new I8259Pair(new IrqLine((_, level) => this.#setIntr(level))));
    this.localApics = options.cpus.map((_, n) =>
      slots.add(n === 0 ? 'apic' : `apic${n}`, this.#createLocalApic(memory, n)),
    );
    this.ioApic = slots.add(
      'ioapic',
      new IoApic(this.apicBus, (routes) => irqs()?.setIoApicRoutes?.(routes)),
    );
    this.#isa = new SharedIrqs(16, (n, level) => this.#setIsa(n, level));
    this.#pci = new SharedIrqs(map.IO_APIC_INPUTS, (n, level) => this.#setInput(n, level));
    const ignore = (): void => options.cpus[options.currentCpu()]?.irqs.ignoreFpuError?.();
    this.fpuError = slots.add('fpu-error', new FpuErrorPort(this.isaLine(map.IRQ_FPU), ignore));
    slots.mapPorts('fpu-error', map.PORT_FPU_ERROR, 1, this.fpuError, BYTE_WIDE);
    slots.mapMmio('ioapic', map.IO_APIC_BASE, map.IO_APIC_SIZE, this.ioApic, IOAPIC_MMIO);
    slots.mapPorts('pic-master', map.PORT_PIC_MASTER, I8259_PORTS, this.pic.master, I8259_MMIO);
    slots.mapPorts('pic-slave', map.PORT_PIC_SLAVE, I8259_PORTS, this.pic.slave, I8259_MMIO);
    slots.mapPorts('elcr-master', map.PORT_PIC_ELCR, 1, this.pic.elcrMaster, BYTE_WIDE);
    slots.mapPorts('elcr-slave', map.PORT_PIC_ELCR + 1, 1, this.pic.elcrSlave, BYTE_WIDE);
  }

  get accelerated(): AcceleratedIrqs | undefined {
    return this.#options.acceleratedIrqs?.();
  }

  /** A line of its own to ISA interrupt `n`, wired-OR with its other users. */
  isaLine(n: number): IrqLine {
    return this.#isa.line(n);
  }

  /** A line of its own to input `n` of the I/O APIC: an ISA interrupt where one has that number. */
  gsiLine(n: number): IrqLine {
    return n < 16 && n !== map.GSI_PIT ? this.#isa.line(n) : this.#pci.line(n);
  }

  /** Interrupt lines as a test names them; undefined: no such device. */
  irqLines(path: string, direction: 'in' | 'out'): readonly IrqLine[] | undefined {
    if (direction === 'out' || !/(^|\/)ioapic$/.test(path)) return undefined;
    // The 8254's interrupt 0, which leads to input 2, counts by its ISA number.
    const order = this.ioApic.inputs.map((_, n) =>
      n === map.IRQ_PIT ? map.GSI_PIT : n === map.GSI_PIT ? 0 : n,
    );
    return order.map((n) => this.ioApic.inputs[n]!);
  }

  /** The vector that vCPU `index` is to serve now, or -1. */
  acknowledge(index: number): number {
    if (this.accelerated !== undefined) return this.pic.acknowledge();
    return this.localApics[index]!.acknowledge();
  }

  /** The 8259 pair's output. */
  #setIntr(level: boolean): void {
    if (this.accelerated !== undefined) this.#options.cpus[0]!.irqs.setInterruptPending(level);
    else this.localApics[0]!.lint0.set(level);
  }

  /** ISA interrupt n goes to input n of the 8259 pair and of the I/O APIC; the 8254's to input 2 of the latter. */
  #setIsa(irq: number, level: boolean): void {
    const irqs = this.accelerated;
    if (irqs?.setIrq !== undefined) {
      irqs.setIrq(irq, level);
      return;
    }
    this.pic.inputs[irq]!.set(level);
    if (irq !== map.GSI_PIT) this.ioApic.inputs[irq === map.IRQ_PIT ? map.GSI_PIT : irq]!.set(level);
  }

  #setInput(n: number, level: boolean): void {
    const irqs = this.accelerated;
    if (irqs?.setIrq !== undefined) irqs.setIrq(n, level);
    else this.ioApic.inputs[n]!.set(level);
  }

  /** Every vCPU sees its own local APIC at the address its IA32_APIC_BASE gives; what is there serves whoever asks. */
  #createLocalApic(memory: AddressSpace, index: number): LocalApic {
    const options = this.#options;
    const { irqs, tsc, apicId } = options.cpus[index]!;
    let page: MemoryRegion | undefined;
    const apic = new LocalApic(
      {
        id: apicId,
        isBootProcessor: index === 0,
        hasX2Apic: options.hasX2Apic,
        ...(options.physicalBits !== undefined && { physicalBits: options.physicalBits }),
        ...(index === 0 ? { extInt: this.pic } : {}),
        ...(options.hasTscDeadline ? { tsc } : {}),
        onBaseChanged: (base, isVisible) => {
          if (page === undefined) return;
          page.enabled = isVisible;
          memory.root.move(page, base);
        },
      },
      this.apicBus,
      irqs,
      options.timers,
    );
    const own = (): LocalApic => this.localApics[options.currentCpu()]!;
    const device: MmioDevice = {
      read: (offset, size) => (own().pageBase === apic.pageBase ? own().read(offset, size) : 0xffff_ffff),
      write: (offset, size, value) => {
        if (own().pageBase === apic.pageBase) own().write(offset, size, value);
      },
    };
    page = MemoryRegion.mmio('apic', map.LOCAL_APIC_SIZE, device, LOCAL_APIC_MMIO);
    memory.root.add(map.LOCAL_APIC_BASE, page, 2);
    return apic;
  }
}
