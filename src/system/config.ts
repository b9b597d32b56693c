/** What a machine is made of: the typed form of the command line and of the API's options. */

import type { AudiodevConfig } from '../audio/audiodev.ts';
import type { DeviceSpec, GlobalProperty } from '../machine/device-spec.ts';
import { type BootOptions, DEFAULT_BOOT } from '../machine/firmware/boot-options.ts';
import type { VgaKind } from '../machine/pc-display.ts';
import type { BoardKind } from '../machine/pc-memory.ts';
import type { ActionConfig } from './actions.ts';

export type TcgTier = 'auto' | 'interp' | 'jit';

export type AcceleratorConfig =
  | { readonly kind: 'tcg'; readonly tier: TcgTier }
  /** `irqchip`: which interrupt controllers are the kernel's: all, the local APICs only, none. */
  | { readonly kind: 'kvm'; readonly irqchip: 'on' | 'split' | 'off' }
  /** No guest code runs; a test drives the board through `-qtest`. */
  | { readonly kind: 'qtest' };

/** `-smp`: how many processors there are and how CPUID arranges them. */
export interface SmpConfig {
  readonly cpus: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

export interface RtcConfig {
  /** Civil time at the start, in milliseconds since 1970 as the guest shall read it; undefined: the host's time plus `offsetMs`. */
  readonly startMs: number | undefined;
  /** Added to the host's UTC: the zone offset with `base=localtime`. */
  readonly offsetMs: number;
  /** `vm`: stands still while the machine is paused. */
  readonly clock: 'host' | 'vm';
}

export interface DebugExitConfig {
  readonly iobase: number;
  readonly iosize: number;
}

export interface DebugConConfig {
  readonly iobase: number;
  /** What reading the port gives. */
  readonly readback: number;
}

/** Everything but the content of files and the character devices. Plain data: it is sent to the machine thread. */
export interface MachineConfig {
  readonly machine: BoardKind;
  /** `-machine none`: nothing but the control protocol, for those who ask what there is. */
  readonly isEmpty: boolean;
  readonly name: string;
  /** As SMBIOS and firmware show it: 8-4-4-4-12 hexadecimal digits. */
  readonly uuid: string;
  readonly memoryBytes: number;
  readonly smp: SmpConfig;
  /** As `-cpu` takes it: model[,+feature][,-feature]. */
  readonly cpu: string;
  /** False: the processor has no 64-bit mode, whatever the model (`lyrebird-system-i386`). */
  readonly longMode: boolean;
  /** The first that works is used. */
  readonly accelerators: readonly AcceleratorConfig[];
  readonly commandLine: string;
  readonly rtc: RtcConfig;
  readonly hpet: boolean;
  /** System management mode, as far as the accelerator has it. */
  readonly smm: boolean;
  /** The board's own USB controller (`-usb`). */
  readonly usb: boolean;
  readonly pit: boolean;
  /** `-device pc-testdev`. */
  readonly testDevice: boolean;
  readonly acpi: boolean;
  readonly boot: BootOptions;
  readonly vga: VgaKind;
  /** No display: firmware uses the first serial port. */
  readonly noGraphic: boolean;
  /** `-global`: values of properties of devices that the board brings. */
  readonly globals: readonly GlobalProperty[];
  /** What the user plugs into the board, in order. */
  readonly devices: readonly DeviceSpec[];
  /** `-audiodev`, in order. */
  readonly audiodevs: readonly AudiodevConfig[];
  readonly debugExit: DebugExitConfig | undefined;
  readonly debugCon: DebugConConfig | undefined;
  /** `-action`. */
  readonly actions: ActionConfig;
  readonly noReboot: boolean;
  readonly noShutdown: boolean;
  readonly startPaused: boolean;
  /** The log shows what passes over `-qtest`. */
  readonly qtestLog: boolean;
  /** Names of `-d`. */
  readonly logItems: readonly string[];
}

export const DEFAULT_MEMORY_BYTES = 128 * 2 ** 20;

export const DEFAULT_CONFIG: MachineConfig = {
  machine: 'pc',
  isEmpty: false,
  name: '',
  uuid: '00000000-0000-0000-0000-000000000000',
  memoryBytes: DEFAULT_MEMORY_BYTES,
  smp: { cpus: 1, sockets: 1, cores: 1, threads: 1 },
  cpu: 'qemu64',
  longMode: true,
  accelerators: [{ kind: 'tcg', tier: 'auto' }],
  commandLine: '',
  rtc: { startMs: undefined, offsetMs: 0, clock: 'host' },
  hpet: true,
  smm: true,
  usb: false,
  pit: true,
  testDevice: false,
  acpi: true,
  boot: DEFAULT_BOOT,
  vga: 'none',
  noGraphic: false,
  globals: [],
  devices: [],
  audiodevs: [],
  debugExit: undefined,
  debugCon: undefined,
  actions: { panic: 'shutdown', watchdog: 'reset' },
  noReboot: false,
  noShutdown: false,
  startPaused: false,
  qtestLog: false,
  logItems: [],
};
