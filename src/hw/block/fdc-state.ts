/** What a floppy controller is made of besides its logic: bits of its registers and its state. */
import type { BlockBackend } from '../../core/block-backend.ts';
import { array, below, bool, bytes, defineState, struct, u8, u16 } from '../../core/vmstate.ts';

export const DOR_NOT_RESET = 0x04;
export const DOR_DMA = 0x08;

export const MSR_READY = 0x80;
export const MSR_TO_HOST = 0x40;
export const MSR_NON_DMA = 0x20;
export const MSR_BUSY = 0x10;
export const DSR_RESET = 0x80;
export const DIR_CHANGED = 0x80;

// Status registers 0…3
export const ST0_ABNORMAL = 0x40;
export const ST0_INVALID = 0x80;
export const ST0_SEEK_END = 0x20;
export const ST0_READY_CHANGED = 0xc0;
export const ST1_MISSING_ADDRESS = 0x01;
export const ST1_NOT_WRITABLE = 0x02;
export const ST1_NO_DATA = 0x04;
export const ST1_OVERRUN = 0x10;
export const ST1_END_OF_CYLINDER = 0x80;
export const ST2_WRONG_CYLINDER = 0x10;

/** CONFIGURE: implied seeks, FIFO off; as the controller starts up. */
export const CONFIG_IMPLIED_SEEK = 0x40;
export const CONFIG_NO_FIFO = 0x20;

export const PHASE_COMMAND = 0;
export const PHASE_EXECUTION = 1;
export const PHASE_RESULT = 2;
/** Where a head stops at the latest. */
export const LAST_TRACK = 83;
export const FIFO_BYTES = 16;
export const MAX_SECTOR_BYTES = 512;

export const fdcSchema = defineState('fdc', 2, {
  dor: u8(DOR_NOT_RESET | DOR_DMA),
  tdr: u8(),
  dsr: u8(),
  phase: below(3),
  /** Command or result bytes. */
  fifo: bytes(FIFO_BYTES),
  fifoAt: below(FIFO_BYTES + 1),
  fifoEnd: below(FIFO_BYTES + 1),
  status0: u8(),
  /** SENSE INTERRUPT STATUS answers still owed after a reset. */
  resetSenses: below(5),
  irq: bool(),
  nonDma: bool(),
  config: u8(CONFIG_IMPLIED_SEEK | CONFIG_NO_FIFO),
  precompensation: u8(),
  timer0: u8(),
  timer1: u8(),
  lock: bool(),
  perpendicular: u8(),
  eot: u8(),
  /** Sector being transferred. */
  sector: u8(1),
  head: u8(),
  cylinder: u8(),
  data: bytes(MAX_SECTOR_BYTES),
  dataAt: u16(),
  /** Sectors that a transfer without DMA still has to move, the present one among them. */
  sectorsLeft: u16(),
  /** A back-end request is under way. */
  isWaiting: bool(),
  tracks: array(2, u8()),
  changed: array(2, bool(true)),
  /** Tracks, heads and sectors of the last disk; 0: the drive has had none. */
  formats: array(2, struct({ tracks: u8(), heads: u8(), sectors: u8() })),
  drives: array(2, struct({ isPresent: bool() })),
});

export type FdcState = ReturnType<typeof fdcSchema.create>;

export interface FloppyDrive {
  readonly backend: BlockBackend;
  /** Type that CMOS shows of an empty drive; 0: what its disk says. */
  readonly type: number;
}

/** A disk is in the drive. */
export function hasDisk(drive: FloppyDrive | undefined): drive is FloppyDrive {
  return drive !== undefined && drive.backend.sizeBytes > 0;
}
