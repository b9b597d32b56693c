/** The board `pc`: i440FX, PIIX3 and the devices of a PC, wired and mapped. */
import type { AddressSpace } from '../core/address-space.ts';
import type { CharBackend } from '../core/char-backend.ts';
import type { WallClock } from '../core/clock.ts';
import type { AcceleratedIrqs, CpuIrqSink, MsiSink, TscSource } from '../core/cpu-ports.ts';
import type { Device } from '../core/device.ts';
import { type Drive, findDrive } from '../core/drive.ts';
import { IrqLine } from '../core/irq.ts';
import { type AccessSize, MemoryRegion, type MmioDevice, type MmioOptions } from '../core/memory-region.ts';
import type { PowerControl } from '../core/reset.ts';
import type { TimerService } from '../core/timer.ts';
import { ACPI_PM_MMIO, ACPI_PM_SIZE, AcpiPm, GPE0_SIZE } from '../hw/acpi/acpi-pm.ts';
import { PCI_HOTPLUG_MMIO, PCI_HOTPLUG_SIZE, PciHotplug } from '../hw/acpi/pci-hotplug.ts';
import {
  ApmPorts,
  createPiix4Pm,
  piix4ApmRaisesSmi,
  programPiix4Pm,
  ResetControl,
} from '../hw/acpi/piix4-pm.ts';
import { SERIAL_MMIO, SERIAL_PORTS as SERIAL_REGISTERS, Serial } from '../hw/char/serial.ts';
import type { Vga } from '../hw/display/vga.ts';
import { createVga, romBytes, VIDEO_MEMORY_BYTES } from '../hw/display/vga-pci.ts';
import { I8042 } from '../hw/input/i8042.ts';
import { LOCAL_APIC_MMIO, LocalApic } from '../hw/intc/apic.ts';
import { ApicBus } from '../hw/intc/apic-bus.ts';
import { I8259_MMIO, I8259_PORTS, I8259Pair } from '../hw/intc/i8259.ts';
import { IOAPIC_MMIO, IoApic } from '../hw/intc/ioapic.ts';
import { DebugExit } from '../hw/misc/debug-exit.ts';
import { DEBUGCON_MMIO, DebugCon } from '../hw/misc/debugcon.ts';
import * as testdev from '../hw/misc/pc-testdev.ts';
import { PcTestDev } from '../hw/misc/pc-testdev.ts';
import { Port61 } from '../hw/misc/port61.ts';
import { Port92 } from '../hw/misc/port92.ts';
import { PostPort } from '../hw/misc/post-port.ts';
import { FW_CFG_PORTS, FwCfg } from '../hw/nvram/fw-cfg.ts';
import { assignBars } from '../hw/pci/assign-bars.ts';
import { PciBus } from '../hw/pci/pci-bus.ts';
import type { PciFunction } from '../hw/pci/pci-device.ts';
import { createI440fx, PCI_ADDRESS_MMIO, PciConfigPorts, Piix3, smramOf } from '../hw/pci/pci-host.ts';
import { Mc146818, RTC_MMIO, RTC_PORTS } from '../hw/rtc/mc146818.ts';
import { HPET_MMIO, Hpet } from '../hw/timer/hpet.ts';
import { I8254, I8254_MMIO, I8254_PORTS } from '../hw/timer/i8254.ts';
import { UserError } from '../util/errors.ts';
import { type PcAcpiOptions, pcAcpiBlobs, pcAcpiTables } from './acpi/pc-tables.ts';
import { type BootFile, type BootModule, type InitialCpuState, MEMORY_USABLE } from './boot/boot.ts';
import { loadKernel } from './boot/load-kernel.ts';
import type { DeviceContext } from './device-factories.ts';
import { DeviceRegistry, type PluggedDevice } from './device-registry.ts';
import type { DeviceSpec } from './device-spec.ts';
import { devicesOfDrives } from './drive-devices.ts';
import { type BootOptions, DEFAULT_BOOT } from './firmware/boot-options.ts';
import { BootOrder } from './firmware/boot-order.ts';
import { addBootOrder, addFirmwareFacts } from './firmware/fw-cfg-items.ts';
import { addKernelItems } from './firmware/kernel-items.ts';
import { smbios } from './firmware/smbios.ts';
import { CMOS_CPU_COUNT, fillCmos } from './pc-cmos.ts';
import { VGA_BIOS, type VgaKind } from './pc-display.ts';
import * as map from './pc-map.ts';
import { PcMemory, type PcMemoryOptions } from './pc-memory.ts';
import { PcStorage } from './pc-storage.ts';
import { SharedIrqs } from './wired-or.ts';

export interface PcOptions extends PcMemoryOptions {
  /** `pcRamBufferBytes` bytes. */
  readonly ramBuffer: Uint8Array;
  readonly timers: TimerService;
  readonly wallClock: WallClock;
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
  readonly power: PowerControl;
  /** Address line 20 is let through (true) or held low. */
  readonly setA20: (open: boolean) => void;
  /** COM1…COM4; undefined: no such port. */
  readonly serial: ReadonlyArray<CharBackend | undefined>;
  readonly debugCon:
    | { readonly iobase: number; readonly readback: number; readonly backend: CharBackend }
    | undefined;
  readonly debugExit: { readonly iobase: number; readonly iosize: number } | undefined;
  /** False: the 8254 is not to be seen. */
  readonly pit?: boolean;
  /** `pc-testdev`. */
  readonly testDevice?: boolean;
  readonly hpet: boolean;
  /** The vCPUs have system management mode. */
  readonly smm?: boolean;
  readonly acpi: boolean;
  /** No display: firmware uses the first serial port. */
  readonly noGraphic?: boolean;
  readonly boot?: BootOptions;
  /** Option ROMs by file name, as far as the host has them. */
  readonly roms?: ReadonlyMap<string, Uint8Array>;
  /** The display; default none. */
  readonly vga?: VgaKind;
  /** What `-drive` and `-blockdev` name; devices look theirs up (`core/drive.ts`). */
  readonly drives?: readonly Drive[];
  /** 8-4-4-4-12 hexadecimal digits; zero if not given. */
  readonly uuid?: string;
  /** Pluggable devices in order, and what they find outside the board. */
  readonly devices?: readonly DeviceSpec[];
  readonly peripherals?: PeripheralPorts;
}

/** What pluggable devices get from the machine around the board. */
export type PeripheralPorts = Pick<
  DeviceContext,
  'chardev' | 'randomBytes' | 'onPanic' | 'onWatchdog' | 'notify' | 'guestError'
>;

const NO_PERIPHERALS: PeripheralPorts = {
  chardev: () => undefined,
  randomBytes: (bytes) => bytes.fill(0),
  onPanic: () => {},
  onWatchdog: () => {},
  notify: () => {},
  guestError: () => {},
};

export interface DirectBoot {
  readonly kernel: BootFile;
  readonly modules: readonly BootModule[];
  readonly commandLine: string;
  readonly longMode: boolean;
}

const IO_APIC_ID = 0;
const HPET_BLOCK_ID = 0x8086a201;
const BYTE_WIDE: MmioOptions = { impl: { min: 1, max: 1 } };
/** PAM registers of the i440FX: all of the BIOS area is RAM, as firmware leaves it. */
const PAM = 0x59;
const PAM_COUNT = 7;
const PAM_ALL_RAM = 0x33;
/** PIIX3 routes as firmware sets them: PIRQA…D to 10, 10, 11, 11. */
const PIRQ_ROUTES = [10, 10, 11, 11];

export class PcBoard {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  /** By index of the vCPU. */
  readonly localApics: readonly LocalApic[];
  readonly pic: I8259Pair;
  readonly ioApic: IoApic;
  readonly pci: PciBus;
  readonly i8042: I8042;
  readonly fwCfg: FwCfg;
  readonly storage: PcStorage;
  readonly vga: Vga | undefined;
  /** Devices that firmware tries to boot from before others, by `bootindex`. */
  readonly bootOrder = new BootOrder();
  /** Named, in order of reset; those that were plugged by their path. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly registry: DeviceRegistry;

  readonly #options: PcOptions;
  readonly #mem: PcMemory;
  readonly #apicBus: ApicBus;
  readonly #devices = new Map<string, Device>();
  readonly #acpiPm: AcpiPm;
  readonly #pmFunction: PciFunction;
  readonly #piix3: Piix3;
  readonly #i440fx: PciFunction;
  readonly #rtc: Mc146818;
  readonly #isaIrqs: SharedIrqs;
  #resets = 0;
  #inSmm = false;
  readonly #pciHotplug: PciHotplug;

  constructor(options: PcOptions) {
    this.#options = options;
    this.#mem = new PcMemory(options, options.ramBuffer);
    this.memory = this.#mem.space;
    this.io = this.#mem.io;
    this.devices = this.#devices;
    const { timers, power } = options;

    this.fwCfg = this.#add('fw_cfg', new FwCfg(this.memory));
    this.#mapPorts('fw_cfg', map.PORT_FW_CFG, FW_CFG_PORTS, this.fwCfg, { unaligned: true });

    // interrupt controllers
    const irqs = (): AcceleratedIrqs | undefined => options.acceleratedIrqs?.();
    const apicBus = new ApicBus(irqs);
    this.#apicBus = apicBus;
    this.pic = this.#add('i8259', new I8259Pair(new IrqLine((_, level) => this.#setIntr(level))));
    this.localApics = options.cpus.map((_, n) =>
      this.#add(n === 0 ? 'apic' : `apic${n}`, this.#createLocalApic(apicBus, n)),
    );
    this.ioApic = this.#add('ioapic', new IoApic(apicBus, (routes) => irqs()?.setIoApicRoutes?.(routes)));
    this.#isaIrqs = new SharedIrqs(16, (n, level) => this.#setGsi(n, level));
    this.#mapMmio('ioapic', map.IO_APIC_BASE, map.IO_APIC_SIZE, this.ioApic, IOAPIC_MMIO);
    this.#mapPorts('pic-master', map.PORT_PIC_MASTER, I8259_PORTS, this.pic.master, I8259_MMIO);
    this.#mapPorts('pic-slave', map.PORT_PIC_SLAVE, I8259_PORTS, this.pic.slave, I8259_MMIO);
    this.#mapPorts('elcr-master', map.PORT_PIC_ELCR, 1, this.pic.elcrMaster, BYTE_WIDE);
    this.#mapPorts('elcr-slave', map.PORT_PIC_ELCR + 1, 1, this.pic.elcrSlave, BYTE_WIDE);

    // timers
    const hasPit = options.pit !== false;
    const pitIrq = hasPit ? this.#isaIrqs.line(map.IRQ_PIT) : new IrqLine(() => {});
    const pit = this.#add('i8254', new I8254(pitIrq, timers));
    this.#rtc = this.#add(
      'mc146818',
      new Mc146818(this.#isaIrqs.line(map.IRQ_RTC), options.wallClock, timers),
    );
    if (hasPit) this.#mapPorts('pit', map.PORT_PIT, I8254_PORTS, pit, I8254_MMIO);
    this.#mapPorts('rtc', map.PORT_RTC, RTC_PORTS, this.#rtc, RTC_MMIO);
    this.#mapPorts(
      'port61',
      map.PORT_SYSTEM_CONTROL_B,
      1,
      this.#add('port61', new Port61(pit, timers)),
      BYTE_WIDE,
    );
    if (options.hpet) this.#addHpet(pit);

    // keyboard controller, A20, small ports
    const port92: Port92 = new Port92(new IrqLine((_, level) => options.setA20(level)), power);
    const keyboardA20 = new IrqLine((_, level) => {
      port92.setA20(level);
      options.setA20(level);
    });
    const keyboardIrq = this.#isaIrqs.line(map.IRQ_KEYBOARD);
    this.i8042 = this.#add(
      'i8042',
      new I8042(keyboardIrq, this.#isaIrqs.line(map.IRQ_MOUSE), keyboardA20, power),
    );
    this.#mapPorts('i8042-data', map.PORT_I8042_DATA, 1, this.i8042.data, BYTE_WIDE);
    this.#mapPorts('i8042-command', map.PORT_I8042_COMMAND, 1, this.i8042.command, BYTE_WIDE);
    this.#mapPorts('port92', map.PORT_SYSTEM_CONTROL_A, 1, this.#add('port92', port92), BYTE_WIDE);
    this.#mapPorts('post', map.PORT_POST, 1, this.#add('post', new PostPort()), BYTE_WIDE);

    // PCI
    this.#piix3 = this.#add('piix3', new Piix3(Array.from({ length: 16 }, (_, n) => this.#isaIrqs.line(n))));
    this.pci = new PciBus(this.memory.root, this.io.root, this.#piix3.route);
    this.#i440fx = this.#add(
      'i440fx',
      createI440fx(
        (segments) => this.#mem.setShadow(segments),
        () => this.#updateSmram(),
      ),
    );
    this.pci.add(map.PCI_SLOT_HOST, 0, this.#i440fx);
    this.pci.add(map.PCI_SLOT_ISA, 0, this.#piix3.pci);
    const configPorts = this.#add('pci-config', new PciConfigPorts(this.pci));
    this.#mapPorts('pci-address', map.PORT_PCI_ADDRESS, 4, configPorts.address, PCI_ADDRESS_MMIO);
    this.#mapPorts('pci-data', map.PORT_PCI_DATA, 4, configPorts.data);

    // disks
    this.storage = new PcStorage(options.drives ?? [], {
      memory: this.memory,
      io: this.io,
      irq: (n) => this.#isaIrqs.line(n),
      add: (name, device) => void this.#add(name, device),
      bootOrder: this.bootOrder,
    });
    this.#add('piix3-ide', this.storage.ide.pci);
    this.pci.add(map.PCI_SLOT_ISA, map.PCI_FUNCTION_IDE, this.storage.ide.pci);

    // display
    this.vga = options.vga === 'std' ? this.#addVga() : undefined;

    // power management
    this.#acpiPm = this.#add('acpi-pm', new AcpiPm(this.#isaIrqs.line(map.IRQ_SCI), power, timers));
    const pmRegion = MemoryRegion.mmio('acpi-pm', ACPI_PM_SIZE, this.#acpiPm.pm, ACPI_PM_MMIO);
    this.#pmFunction = this.#add('piix4-pm', createPiix4Pm(this.io.root, pmRegion, options.smm));
    this.pci.add(map.PCI_SLOT_ISA, map.PCI_FUNCTION_PM, this.#pmFunction);
    this.#mapPorts('gpe0', map.PORT_GPE0, GPE0_SIZE, this.#acpiPm.gpe0);
    this.#mapPorts(
      'apm',
      map.PORT_SMI_COMMAND,
      2,
      this.#add('apm', new ApmPorts(this.#acpiPm, () => this.#raiseSmi())),
      BYTE_WIDE,
    );
    const resetControl = this.#add('reset-control', new ResetControl(power));
    this.#mapPorts('reset-control', map.PORT_RESET_CONTROL, 1, resetControl, BYTE_WIDE, 1);

    this.#addCharDevices();
    if (options.testDevice === true) this.#addTestDevice();
    if (options.debugExit !== undefined) {
      const { iobase, iosize } = options.debugExit;
      this.#mapPorts(
        'isa-debug-exit',
        iobase,
        iosize,
        this.#add('isa-debug-exit', new DebugExit(power)),
        {},
        1,
      );
    }
    this.#pciHotplug = this.#add('acpi-pci-hotplug', this.#createPciHotplug());
    this.#mapPorts(
      'acpi-pci-hotplug',
      map.PORT_PCI_HOTPLUG,
      PCI_HOTPLUG_SIZE,
      this.#pciHotplug,
      PCI_HOTPLUG_MMIO,
    );
    this.registry = this.#createRegistry(apicBus);
    const implied = devicesOfDrives(options.drives ?? [], 'virtio-blk-pci');
    for (const spec of [...(options.devices ?? []), ...implied]) this.#offerToBoot(this.registry.plug(spec));
  }

  /** A device on PCI, or behind a controller there, with a boot index; firmware looks at the slot, whatever it is called. */
  #offerToBoot({ spec, devfn, parent, built }: PluggedDevice): void {
    const index = Number(spec.properties['bootindex'] ?? -1);
    const owner = devfn >= 0 ? devfn : this.registry.plugged.find((p) => p.built.bus === parent)?.devfn;
    const place = devfn >= 0 ? 'disk@0,0' : parent?.bootPath?.(built.part);
    if (index < 0 || owner === undefined || owner < 0 || place === undefined) return;
    const part = (owner & 7) === 0 ? '' : `,${owner & 7}`;
    this.bootOrder.add(`/pci@i0cf8/scsi@${(owner >> 3).toString(16)}${part}/${place}`, index);
  }

  /** Plugs a device while the machine runs; `UserError` says why not. */
  hotplug(spec: DeviceSpec): void {
    const { devfn } = this.registry.plug(spec, true);
    if (devfn >= 0) this.#pciHotplug.plugged(devfn >> 3);
  }

  /** Asks the guest to let a PCI device go; others go at once. `UserError` for what cannot go. */
  requestUnplug(idOrPath: string): void {
    const plugged = this.registry.find(idOrPath);
    if (plugged === undefined) throw new UserError('DeviceNotFound', `Device '${idOrPath}' not found`);
    const { type, devfn } = plugged;
    if (!type.hotpluggable)
      throw new UserError('GenericError', `Device '${type.name}' does not support hot unplugging`);
    if (devfn < 0) this.#unplug(plugged);
    else if (!this.#pciHotplug.requestEject(devfn >> 3))
      throw new UserError('GenericError', `Device ${idOrPath} is already in the process of unplug`);
  }

  #unplug(plugged: PluggedDevice): void {
    this.registry.unplug(plugged);
    const { id } = plugged.spec;
    const { notify } = this.#options.peripherals ?? NO_PERIPHERALS;
    notify('DEVICE_DELETED', { path: plugged.path, ...(id !== undefined && { device: id }) });
  }

  #createPciHotplug(): PciHotplug {
    const inSlot = (slot: number): PluggedDevice[] =>
      this.registry.plugged.filter((p) => p.devfn >> 3 === slot && p.type.hotpluggable);
    return new PciHotplug({
      raiseEvent: () => this.#acpiPm.raiseGpe(map.GPE_PCI_HOTPLUG),
      eject: (slot) => {
        for (const plugged of inSlot(slot)) this.#unplug(plugged);
      },
      removable: () => {
        let mask = 0;
        for (let slot = 0; slot < 32; slot++) {
          const fixed = this.pci.functions.some(
            ([devfn]) => devfn >> 3 === slot && !inSlot(slot).some((p) => p.devfn === devfn),
          );
          if (!fixed) mask |= 1 << slot;
        }
        return mask;
      },
    });
  }

  #createRegistry(msi: MsiSink): DeviceRegistry {
    const { options, memory, io } = { options: this.#options, memory: this.memory, io: this.io };
    const context: DeviceContext = {
      ...(options.peripherals ?? NO_PERIPHERALS),
      memory,
      io,
      msi,
      timers: options.timers,
      power: options.power,
      isaIrq: (n) => this.#isaIrqs.line(n),
      wallClock: options.wallClock,
      ramBytes: options.memoryBytes,
      fwCfgFile: (name, content, onWritten) => this.fwCfg.addFile(name, content, onWritten),
      drive: (id) => findDrive(options.drives ?? [], id),
    };
    const roster = {
      add: (name: string, device: Device) => this.#devices.set(name, device),
      remove: (name: string) => this.#devices.delete(name),
    };
    return new DeviceRegistry(context, this.pci, roster, this.storage.buses);
  }

  /** Power-on state of every device, and what firmware would have set up. */
  reset(): void {
    this.memory.batch(() => {
      for (const device of this.#devices.values()) device.reset();
      this.#mem.reset(this.#options.memoryBytes);
      const order = this.#resets === 0 ? (this.#boot.once ?? this.#boot.order) : this.#boot.order;
      fillCmos(this.#rtc, this.#mem.lowRamEnd, this.#mem.highRamBytes, order);
      this.#rtc.poke(CMOS_CPU_COUNT, this.#options.cpus.length - 1);
      this.storage.fillCmos((index, value) => this.#rtc.poke(index, value));
      if (this.#options.firmware === undefined) this.#standInForFirmware();
      if (this.#resets === 0) this.#describeToFirmware();
      this.#resets++;
    });
  }

  /** Loads a kernel and the tables it expects; to be called after `reset`. */
  boot(direct: DirectBoot): InitialCpuState {
    const rsdpAddress = this.#options.acpi ? this.#writeAcpiTables() : 0;
    this.#writeBiosData();
    return loadKernel({ ...direct, memory: this.#mem, rsdpAddress });
  }

  /** Leaves a kernel to firmware, which copies it into place; to be called before the first `reset`. */
  offerKernel(direct: DirectBoot): void {
    addKernelItems(this.fwCfg, {
      kernel: direct.kernel,
      initrd: direct.modules[0],
      commandLine: direct.commandLine,
      lowRamEnd: this.#mem.lowRamEnd,
    });
    const name = 'linuxboot_dma.bin';
    const rom = this.#options.roms?.get(name);
    if (rom !== undefined) this.fwCfg.addFile(`genroms/${name}`, rom);
    this.bootOrder.add(`/rom@genroms/${name}`, 0);
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

  get #acceleratedIrqs(): AcceleratedIrqs | undefined {
    return this.#options.acceleratedIrqs?.();
  }

  /** The vector that vCPU `index` is to serve now, or -1. */
  acknowledgeInterrupt(index: number): number {
    if (this.#acceleratedIrqs !== undefined) return this.pic.acknowledge();
    return this.localApics[index]!.acknowledge();
  }

  /** A local APIC of the accelerator's ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    this.#apicBus.broadcastEoi(vector);
  }

  /** The 8259 pair's output. */
  #setIntr(level: boolean): void {
    if (this.#acceleratedIrqs !== undefined) this.#options.cpus[0]!.irqs.setInterruptPending(level);
    else this.localApics[0]!.lint0.set(level);
  }

  /** The vCPU whose turn it is has entered or left system management mode. */
  setSmm(active: boolean): void {
    this.#inSmm = active;
    this.#updateSmram();
  }

  #updateSmram(): void {
    const { isOpen, isEnabled } = smramOf(this.#i440fx);
    this.#mem.setSmramVisible(isOpen || (isEnabled && this.#inSmm));
  }

  #raiseSmi(): void {
    if (this.#options.smm === true && piix4ApmRaisesSmi(this.#pmFunction)) this.#options.cpus[0]!.irqs.smi();
  }

  /** The user presses the power button. */
  pressPowerButton(): void {
    this.#acpiPm.pressPowerButton();
  }

  /** Every vCPU sees its own local APIC at the address its IA32_APIC_BASE gives; what is there serves whoever asks. */
  #createLocalApic(bus: ApicBus, index: number): LocalApic {
    const { options, memory } = { options: this.#options, memory: this.memory };
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
      bus,
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

  #addHpet(pit: I8254): void {
    const gsi = Array.from({ length: map.IO_APIC_INPUTS }, (_, n) => {
      return n < 16 && n !== map.GSI_PIT ? this.#isaIrqs.line(n) : this.#ioApicInput(n);
    });
    const hpet = new Hpet(
      {
        gsi,
        legacyTimerIrq: this.#isaIrqs.line(map.IRQ_PIT),
        legacyRtcIrq: this.#isaIrqs.line(map.IRQ_RTC),
        onLegacyChanged: (isLegacy) => {
          pit.setIrqEnabled(!isLegacy);
          this.#acceleratedIrqs?.setPitIrqEnabled?.(!isLegacy);
          this.#rtc.setIrqEnabled(!isLegacy);
        },
      },
      this.#options.timers,
    );
    this.#mapMmio('hpet', map.HPET_BASE, map.HPET_SIZE, this.#add('hpet', hpet), HPET_MMIO);
  }

  #addVga(): Vga {
    const rom = this.#options.roms?.get(VGA_BIOS);
    const { vga, pci } = createVga({
      ram: this.memory.ram,
      memory: this.memory.root,
      io: this.io.root,
      timers: this.#options.timers,
      videoOffset: this.#mem.allocate(VIDEO_MEMORY_BYTES),
      romOffset: this.#mem.allocate(romBytes(rom)),
      rom,
    });
    this.#add('VGA', pci);
    this.pci.add(map.PCI_SLOT_VGA, 0, pci);
    return this.#add('vga', vga);
  }

  #ioApicInput(n: number): IrqLine {
    return new IrqLine((_, level) => {
      const irqs = this.#acceleratedIrqs;
      if (irqs?.setIrq !== undefined) irqs.setIrq(n, level);
      else this.ioApic.inputs[n]!.set(level);
    });
  }

  #addTestDevice(): void {
    const lines = this.ioApic.inputs.map((input, n) =>
      n < 16 && n !== map.GSI_PIT ? this.#isaIrqs.line(n) : input,
    );
    const device = this.#add('pc-testdev', new PcTestDev(lines));
    this.#mapPorts('pc-testdev-irq', testdev.TESTDEV_IRQ_PORT, lines.length, device.irqPorts, BYTE_WIDE, 1);
    this.#mapPorts('pc-testdev-data', testdev.TESTDEV_DATA_PORT, 4, device.data, {}, 1);
    this.#mapPorts('pc-testdev-flush', testdev.TESTDEV_FLUSH_PORT, 4, device.flush, {}, 1);
    this.#mapPorts('pc-testdev-bytes', testdev.TESTDEV_BYTES_PORT, 4, device.data, BYTE_WIDE, 1);
    this.#mapMmio(
      'pc-testdev-memory',
      testdev.TESTDEV_MEMORY,
      testdev.TESTDEV_MEMORY_SIZE,
      device.memory,
      {},
    );
  }

  #addCharDevices(): void {
    const { serial, debugCon, timers } = this.#options;
    map.SERIAL_PORTS.forEach(({ port, irq }, n) => {
      const backend = serial[n];
      if (backend === undefined) return;
      const uart = this.#add(`serial${n}`, new Serial(this.#isaIrqs.line(irq), backend, timers));
      this.#mapPorts(`serial${n}`, port, SERIAL_REGISTERS, uart, SERIAL_MMIO);
    });
    if (debugCon === undefined) return;
    const device = this.#add('isa-debugcon', new DebugCon(debugCon.backend, debugCon.readback));
    this.#mapPorts('isa-debugcon', debugCon.iobase, 1, device, DEBUGCON_MMIO, 1);
  }

  /** ISA interrupt n goes to input n of the 8259 pair and of the I/O APIC; the 8254's to input 2 of the latter. */
  #setGsi(irq: number, level: boolean): void {
    const irqs = this.#acceleratedIrqs;
    if (irqs?.setIrq !== undefined) {
      irqs.setIrq(irq, level);
      return;
    }
    this.pic.inputs[irq]!.set(level);
    if (irq !== map.GSI_PIT) this.ioApic.inputs[irq === map.IRQ_PIT ? map.GSI_PIT : irq]!.set(level);
  }

  #standInForFirmware(): void {
    for (let i = 0; i < PAM_COUNT; i++) this.#i440fx.writeConfig(PAM + i, 1, PAM_ALL_RAM);
    programPiix4Pm(this.#pmFunction, map.PORT_PM);
    this.#pmFunction.writeConfig(0x3c, 1, map.IRQ_SCI);
    assignBars(
      this.pci,
      { start: map.LOW_RAM_LIMIT, end: map.PCI_WINDOW_END },
      { start: map.PCI_PORTS, end: 0x1_0000 },
    );
    PIRQ_ROUTES.forEach((irq, n) => this.#piix3.pci.writeConfig(0x60 + n, 1, irq));
    for (const irq of [...map.PCI_IRQS, map.IRQ_SCI]) {
      const port = map.PORT_PIC_ELCR + (irq >> 3);
      this.io.write(port, 1, this.io.read(port, 1) | (1 << (irq & 7)));
    }
  }

  #writeAcpiTables(): number {
    const image = pcAcpiTables(this.#acpiOptions());
    this.#mem.write(image.address, image.bytes);
    return image.address;
  }

  #acpiOptions(): PcAcpiOptions {
    const { serial, hpet } = this.#options;
    return {
      lowRamEnd: this.#mem.lowRamEnd,
      serialPorts: map.SERIAL_PORTS.map((_, n) => n).filter((n) => serial[n] !== undefined),
      hpet,
      apicIds: this.#options.cpus.map((cpu) => cpu.apicId),
      ioApicId: IO_APIC_ID,
      hpetBlockId: HPET_BLOCK_ID,
      vga: this.vga !== undefined,
    };
  }

  get #boot(): BootOptions {
    return this.#options.boot ?? DEFAULT_BOOT;
  }

  /** The fw_cfg items, once everything the machine is made of is known. */
  #describeToFirmware(): void {
    const { memoryBytes, acpi, cpus, noGraphic = false } = this.#options;
    const uuid = uuidBytes(this.#options.uuid ?? '');
    const ram = this.#mem.ramRanges;
    addFirmwareFacts(this.fwCfg, {
      memoryBytes,
      cpus: cpus.length,
      apicIdLimit: 1 + Math.max(...cpus.map((cpu) => cpu.apicId)),
      e820: ram.map(({ address, size }) => ({ address, size, type: MEMORY_USABLE })),
      uuid,
      noGraphic,
      boot: this.#boot,
      acpi: acpi ? pcAcpiBlobs(this.#acpiOptions()) : undefined,
      smbios: smbios({
        product: 'Standard PC (i440FX + PIIX, 1996)',
        version: 'pc-i440fx',
        cpus: cpus.length,
        memoryBytes,
        ranges: ram.map(({ address, size }) => [address, address + size - 1] as const),
        uuid,
      }),
    });
    addBootOrder(this.fwCfg, this.bootOrder.paths, this.#boot.strict);
  }

  /** The BIOS data area's facts that kernels read: serial ports, base memory, EBDA segment. */
  #writeBiosData(): void {
    const area = new DataView(new ArrayBuffer(0x16));
    map.SERIAL_PORTS.forEach(({ port }, n) => {
      if (this.#options.serial[n] !== undefined) area.setUint16(2 * n, port, true);
    });
    area.setUint16(0x0e, map.EBDA_BASE >> 4, true);
    area.setUint16(0x13, map.EBDA_BASE >> 10, true);
    this.#mem.write(0x400, new Uint8Array(area.buffer));
  }

  #add<T extends Device>(name: string, device: T): T {
    this.#devices.set(name, device);
    return device;
  }

  #mapMmio(name: string, address: number, size: number, device: MmioDevice, options: MmioOptions): void {
    this.memory.root.add(address, MemoryRegion.mmio(name, size, device, options), 1);
  }

  #mapPorts(
    name: string,
    port: number,
    count: number,
    device: MmioDevice,
    options: MmioOptions = {},
    priority = 0,
  ): void {
    this.io.root.add(port, MemoryRegion.mmio(name, count, device, options), priority);
  }
}

/** The 16 bytes of a UUID in the order of its digits. */
function uuidBytes(text: string): Uint8Array {
  const digits = text.replaceAll('-', '').padEnd(32, '0');
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** What accesses of a vCPU reach: memory-mapped devices and ports. */
export function pcBusAccess(board: PcBoard): {
  readMmio(address: number, size: number): number;
  writeMmio(address: number, size: number, value: number): void;
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
} {
  const { memory, io } = board;
  return {
    readMmio: (address, size) => memory.read(address, size as AccessSize),
    writeMmio: (address, size, value) => memory.write(address, size as AccessSize, value),
    readPort: (port, size) => io.read(port, size as AccessSize),
    writePort: (port, size, value) => io.write(port, size as AccessSize, value),
  };
}
