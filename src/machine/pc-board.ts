/** A PC board: a chipset (`pc.ts`, `q35.ts`) with memory, interrupt controllers, legacy devices and what the user plugs, wired and mapped. */
import type { AddressSpace } from '../core/address-space.ts';
import type { MsiSink } from '../core/cpu-ports.ts';
import type { Device } from '../core/device.ts';
import { type Drive, findDrive } from '../core/drive.ts';
import type { IrqLine } from '../core/irq.ts';
import type { AccessSize } from '../core/memory-region.ts';
import { PCI_HOTPLUG_MMIO, PCI_HOTPLUG_SIZE } from '../hw/acpi/pci-hotplug.ts';
import type { Vga } from '../hw/display/vga.ts';
import { createVga, romBytes, VIDEO_MEMORY_BYTES } from '../hw/display/vga-pci.ts';
import type { I8042 } from '../hw/input/i8042.ts';
import { InputCore } from '../hw/input/input-core.ts';
import { joinPs2 } from '../hw/input/ps2-input.ts';
import type { LocalApic } from '../hw/intc/apic.ts';
import type { I8259Pair } from '../hw/intc/i8259.ts';
import type { IoApic } from '../hw/intc/ioapic.ts';
import { FW_CFG_PORTS, FwCfg } from '../hw/nvram/fw-cfg.ts';
import type { PciBus } from '../hw/pci/pci-bus.ts';
import { UserError } from '../util/errors.ts';
import { type PcAcpiOptions, pcAcpiBlobs, pcAcpiTables } from './acpi/pc-tables.ts';
import { type BootFile, type BootModule, type InitialCpuState, MEMORY_USABLE } from './boot/boot.ts';
import { loadKernel } from './boot/load-kernel.ts';
import type { Chipset, ChipsetParts } from './chipset.ts';
import type { DeviceContext } from './device-factories.ts';
import { childBuses, DeviceRegistry, type PluggedDevice } from './device-registry.ts';
import { DeviceSlots } from './device-slots.ts';
import type { DeviceSpec, GlobalProperty } from './device-spec.ts';
import { devicesOfDrives } from './drive-devices.ts';
import { type BootOptions, DEFAULT_BOOT } from './firmware/boot-options.ts';
import { BootOrder } from './firmware/boot-order.ts';
import { addBootOrder, addFirmwareFacts } from './firmware/fw-cfg-items.ts';
import { addKernelItems } from './firmware/kernel-items.ts';
import { smbios } from './firmware/smbios.ts';
import { MacAddresses } from './net-factories.ts';
import { I440fxChipset } from './pc.ts';
import { CMOS_CPU_COUNT, fillCmos } from './pc-cmos.ts';
import { VGA_BIOS, type VgaKind } from './pc-display.ts';
import { PcFlash } from './pc-flash.ts';
import { PcHotplug } from './pc-hotplug.ts';
import { type PcInterruptOptions, PcInterrupts } from './pc-interrupts.ts';
import { PcLegacy, type PcLegacyOptions } from './pc-legacy.ts';
import * as map from './pc-map.ts';
import { type BoardKind, PcMemory, type PcMemoryOptions } from './pc-memory.ts';
import { PcStorage } from './pc-storage.ts';
import { Q35Chipset } from './q35.ts';

export interface PcOptions extends PcMemoryOptions, PcInterruptOptions, PcLegacyOptions {
  /** `pcRamBufferBytes` bytes. */
  readonly ramBuffer: Uint8Array;
  /** The vCPUs have system management mode. */
  readonly smm?: boolean;
  readonly acpi: boolean;
  /** No display: firmware uses the first serial port. */
  readonly noGraphic?: boolean;
  readonly boot?: BootOptions;
  /** Option ROMs by file name, as far as the host has them. */
  readonly roms?: ReadonlyMap<string, Uint8Array>;
  /** The chipset's USB controllers are there. */
  readonly usb?: boolean;
  /** The display; default none. */
  readonly vga?: VgaKind;
  /** What `-drive` and `-blockdev` name; devices look theirs up (`core/drive.ts`). */
  readonly drives?: readonly Drive[];
  /** 8-4-4-4-12 hexadecimal digits; zero if not given. */
  readonly uuid?: string;
  /** Pluggable devices in order, and what they find outside the board. */
  readonly devices?: readonly DeviceSpec[];
  /** `-global`, for drives that the board makes itself. */
  readonly globals?: readonly GlobalProperty[];
  readonly peripherals?: PeripheralPorts;
}

/** What pluggable devices get from the machine around the board. */
export type PeripheralPorts = Pick<
  DeviceContext,
  | 'chardev'
  | 'share'
  | 'audio'
  | 'emptyDrive'
  | 'driveUnused'
  | 'netdev'
  | 'randomBytes'
  | 'onPanic'
  | 'onWatchdog'
  | 'notify'
  | 'guestError'
>;

const NO_PERIPHERALS: PeripheralPorts = {
  chardev: () => undefined,
  share: () => undefined,
  audio: () => undefined,
  emptyDrive: (name) => {
    throw new UserError('GenericError', `${name}: this machine has no block layer`);
  },
  driveUnused: () => {},
  netdev: () => undefined,
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
/** 64-bit BARs lie above RAM, in a window of this size. */
const HIGH_WINDOW_BYTES = 32 * 2 ** 30;

const CHIPSETS: Readonly<Record<BoardKind, new (parts: ChipsetParts) => Chipset>> = {
  pc: I440fxChipset,
  q35: Q35Chipset,
};

export class PcBoard {
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly chipset: Chipset;
  readonly fwCfg: FwCfg;
  readonly storage: PcStorage;
  readonly vga: Vga | undefined;
  readonly flash: PcFlash;
  /** Devices that firmware tries to boot from before others, by `bootindex`. */
  readonly bootOrder = new BootOrder();
  /** Named, in order of reset; those that were plugged by their path. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly registry: DeviceRegistry;
  /** Where keys and movements come in. */
  readonly input = new InputCore();

  readonly #options: PcOptions;
  readonly #mem: PcMemory;
  readonly #slots: DeviceSlots;
  readonly #interrupts: PcInterrupts;
  readonly #legacy: PcLegacy;
  readonly #hotplug: PcHotplug;
  readonly #busCounts = new Map<string, number>();
  #resets = 0;

  constructor(options: PcOptions) {
    this.#options = options;
    this.#mem = new PcMemory(options, options.ramBuffer);
    this.memory = this.#mem.space;
    this.io = this.#mem.io;
    this.#slots = new DeviceSlots(this.memory, this.io);
    this.devices = this.#slots.devices;
    const slots = this.#slots;
    this.fwCfg = slots.add('fw_cfg', new FwCfg(this.memory));
    slots.mapPorts('fw_cfg', map.PORT_FW_CFG, FW_CFG_PORTS, this.fwCfg, { unaligned: true });
    const { guestError } = options.peripherals ?? NO_PERIPHERALS;
    const { memoryBytes, drives = [] } = options;
    this.flash = new PcFlash(drives, this.memory, slots, memoryBytes, guestError);
    this.#interrupts = new PcInterrupts(options, this.memory, slots);
    this.#legacy = new PcLegacy(options, this.#interrupts, slots);
    joinPs2(this.input, this.i8042.keyboard, this.i8042.mouse);
    this.chipset = this.#createChipset();
    this.storage = new PcStorage(options.drives ?? [], {
      memory: this.memory,
      io: this.io,
      irq: (n) => this.#interrupts.isaLine(n),
      slots,
      bootOrder: this.bootOrder,
      globals: options.globals ?? [],
      ide: this.chipset.ide,
      hasFloppy: this.chipset.hasFloppy,
    });
    this.vga = options.vga === 'std' ? this.#addVga() : undefined;
    this.registry = this.#createRegistry(this.#interrupts.apicBus);
    this.#hotplug = this.#addHotplug();
    const implied = devicesOfDrives(options.drives ?? [], 'virtio-blk-pci');
    const controllers = options.usb === true ? this.chipset.usbControllers : [];
    for (const spec of [...controllers, ...(options.devices ?? []), ...implied])
      this.#offerToBoot(this.registry.plug(spec));
  }

  /** By index of the vCPU. */
  get localApics(): readonly LocalApic[] {
    return this.#interrupts.localApics;
  }

  get pic(): I8259Pair {
    return this.#interrupts.pic;
  }

  get ioApic(): IoApic {
    return this.#interrupts.ioApic;
  }

  get pci(): PciBus {
    return this.chipset.pci;
  }

  get i8042(): I8042 {
    return this.#legacy.i8042;
  }

  #createChipset(): Chipset {
    const { board = 'pc', timers, power, cpus, smm = false } = this.#options;
    return new CHIPSETS[board]({
      memory: this.memory,
      io: this.io,
      ram: this.#mem,
      irqs: this.#interrupts,
      slots: this.#slots,
      timers,
      power,
      smm,
      raiseSmi: () => {
        if (smm) cpus[0]!.irqs.smi();
      },
    });
  }

  #addHotplug(): PcHotplug {
    const { acpi, acpiPm, pci } = this.chipset;
    const { notify } = this.#options.peripherals ?? NO_PERIPHERALS;
    const hotplug = new PcHotplug(this.registry, pci, {
      raiseEvent: () => acpiPm.raiseGpe(acpi.hotplugGpe),
      notify,
      rootTakesHotplug: this.chipset.kind === 'pc',
    });
    const device = this.#slots.add('acpi-pci-hotplug', hotplug.registers);
    this.#slots.mapPorts('acpi-pci-hotplug', acpi.hotplugPort, PCI_HOTPLUG_SIZE, device, PCI_HOTPLUG_MMIO);
    return hotplug;
  }

  /** A device on PCI, or behind a controller there, with a boot index; firmware looks at the slot, whatever it is called. */
  #offerToBoot({ spec, devfn, parent, built }: PluggedDevice): void {
    const index = Number(spec.properties['bootindex'] ?? -1);
    const owner =
      devfn >= 0
        ? devfn
        : this.registry.plugged.find((p) => parent !== undefined && childBuses(p.built).includes(parent))
            ?.devfn;
    const place = devfn >= 0 ? 'disk@0,0' : parent?.bootPath?.(built.part);
    if (index < 0 || owner === undefined || owner < 0 || place === undefined) return;
    const part = (owner & 7) === 0 ? '' : `,${owner & 7}`;
    const at = `${(owner >> 3).toString(16)}${part}`;
    const path = built.nic !== undefined ? `ethernet@${at}/ethernet-phy@0` : `scsi@${at}/${place}`;
    this.bootOrder.add(`/pci@i0cf8/${path}`, index);
  }

  /** Plugs a device while the machine runs; `UserError` says why not. */
  hotplug(spec: DeviceSpec): void {
    this.#hotplug.plug(spec);
  }

  /** Asks the guest to let a PCI device go; others go at once. `UserError` for what cannot go. */
  requestUnplug(idOrPath: string): void {
    this.#hotplug.requestUnplug(idOrPath);
  }

  #createRegistry(msi: MsiSink): DeviceRegistry {
    const { options, memory, io } = { options: this.#options, memory: this.memory, io: this.io };
    const context: DeviceContext = {
      ...(options.peripherals ?? NO_PERIPHERALS),
      macs: new MacAddresses(),
      memory,
      io,
      msi,
      timers: options.timers,
      power: options.power,
      input: this.input,
      busNumber: (kind) => this.#countBus(kind),
      isaIrq: (n) => this.#interrupts.isaLine(n),
      wallClock: options.wallClock,
      ramBytes: options.memoryBytes,
      fwCfgFile: (name, content, onWritten) => this.fwCfg.addFile(name, content, onWritten),
      drive: (id) => findDrive(options.drives ?? [], id),
    };
    const { devices } = this.#slots;
    const roster = {
      add: (name: string, device: Device) => devices.set(name, device),
      remove: (name: string) => devices.delete(name),
    };
    return new DeviceRegistry(
      context,
      this.pci,
      roster,
      this.storage.buses,
      this.chipset.pciBusName,
      this.chipset.kind === 'pc',
    );
  }

  #countBus(kind: string): number {
    const n = this.#busCounts.get(kind) ?? 0;
    this.#busCounts.set(kind, n + 1);
    return n;
  }

  /** Power-on state of every device, and what firmware would have set up. */
  reset(): void {
    const rtc = this.#legacy.rtc;
    this.memory.batch(() => {
      for (const device of this.devices.values()) device.reset();
      this.#mem.reset(this.#options.memoryBytes);
      const order = this.#resets === 0 ? (this.#boot.once ?? this.#boot.order) : this.#boot.order;
      fillCmos(rtc, this.#mem.lowRamEnd, this.#mem.highRamBytes, order, this.#boot.checksFloppy);
      rtc.poke(CMOS_CPU_COUNT, this.#options.cpus.length - 1);
      this.storage.fillCmos((index, value) => rtc.poke(index, value));
      if (!this.hasFirmware) this.chipset.standInForFirmware();
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
    return this.#interrupts.irqLines(path, direction);
  }

  /** The vector that vCPU `index` is to serve now, or -1. */
  acknowledgeInterrupt(index: number): number {
    return this.#interrupts.acknowledge(index);
  }

  /** A local APIC of the accelerator's ended a level-triggered interrupt. */
  endOfInterrupt(vector: number): void {
    this.#interrupts.apicBus.broadcastEoi(vector);
  }

  /** FERR# of a vCPU: an x87 error while CR0.NE is clear. */
  fpuError(): void {
    this.#interrupts.fpuError.raise();
  }

  /** The vCPU whose turn it is has entered or left system management mode. */
  setSmm(active: boolean): void {
    this.#mem.setSmm(active);
  }

  /** The user presses the power button. */
  pressPowerButton(): void {
    this.chipset.acpiPm.pressPowerButton();
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
    this.#slots.add('VGA', pci);
    this.pci.add(this.chipset.vgaSlot, 0, pci);
    return this.#slots.add('vga', vga);
  }

  #writeAcpiTables(): number {
    const image = pcAcpiTables(this.#acpiOptions());
    this.#mem.write(image.address, image.bytes);
    return image.address;
  }

  #acpiOptions(): PcAcpiOptions {
    const { serial, hpet } = this.#options;
    const first = Math.max(map.HIGH_RAM_BASE + this.#mem.highRamBytes, 2 ** 32);
    const windowStart = Math.ceil(first / HIGH_WINDOW_BYTES) * HIGH_WINDOW_BYTES;
    return {
      platform: this.chipset.acpi,
      lowRamEnd: this.#mem.lowRamEnd,
      highWindow: { first: windowStart, last: windowStart + HIGH_WINDOW_BYTES - 1 },
      serialPorts: map.SERIAL_PORTS.map((_, n) => n).filter((n) => serial[n] !== undefined),
      hpet,
      floppy: this.storage.floppy !== undefined,
      hotplugBuses: this.#hotplug.buses,
      s3: false,
      s4: false,
      apicIds: this.#options.cpus.map((cpu) => cpu.apicId),
      ioApicId: IO_APIC_ID,
      hpetBlockId: HPET_BLOCK_ID,
      vga: this.vga !== undefined,
    };
  }

  /** Something other than a kernel's loader runs first. */
  get hasFirmware(): boolean {
    return this.#options.firmware !== undefined || this.flash.isPresent;
  }

  get #boot(): BootOptions {
    return this.#options.boot ?? DEFAULT_BOOT;
  }

  /** The fw_cfg items, once everything the machine is made of is known. */
  #describeToFirmware(): void {
    const { memoryBytes, acpi, cpus, noGraphic = false } = this.#options;
    const uuid = uuidBytes(this.#options.uuid ?? '');
    const ram = this.#mem.ramRanges;
    const tables = this.#acpiOptions();
    addFirmwareFacts(this.fwCfg, {
      memoryBytes,
      cpus: cpus.length,
      apicIdLimit: 1 + Math.max(...cpus.map((cpu) => cpu.apicId)),
      e820: ram.map(({ address, size }) => ({ address, size, type: MEMORY_USABLE })),
      uuid,
      noGraphic,
      boot: this.#boot,
      acpi: acpi ? () => pcAcpiBlobs({ ...tables, platform: this.chipset.acpi }) : undefined,
      smbios: smbios({
        product: this.chipset.product,
        version: this.chipset.version,
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
  writeRom(ramOffset: number, size: number, value: number): void;
  readPort(port: number, size: number): number;
  writePort(port: number, size: number, value: number): void;
} {
  const { memory, io } = board;
  return {
    readMmio: (address, size) => memory.read(address, size as AccessSize),
    writeMmio: (address, size, value) => memory.write(address, size as AccessSize, value),
    writeRom: (ramOffset, size, value) => memory.writeRom(ramOffset, size as AccessSize, value),
    readPort: (port, size) => io.read(port, size as AccessSize),
    writePort: (port, size, value) => io.write(port, size as AccessSize, value),
  };
}
