/** Numbers of the SCSI command sets: SPC-4 (T10 1731-D), SBC-3 (T10 1799-D), MMC-5 (T10 1675-D), SAM-5 statuses. */

// Status, SAM-5 5.3.1
export const STATUS_GOOD = 0x00;
export const STATUS_CHECK_CONDITION = 0x02;

// Sense keys, SPC-4 4.5.6
export const SENSE_NONE = 0;
export const SENSE_NOT_READY = 2;
export const SENSE_MEDIUM_ERROR = 3;
export const SENSE_ILLEGAL_REQUEST = 5;
export const SENSE_UNIT_ATTENTION = 6;
export const SENSE_DATA_PROTECT = 7;
export const SENSE_ABORTED_COMMAND = 0x0b;
export const SENSE_MISCOMPARE = 0x0e;

// Additional sense codes, SPC-4 annex F
export const ASC_WRITE_ERROR = 0x0c;
export const ASC_READ_ERROR = 0x11;
export const ASC_PARAMETER_LENGTH = 0x1a;
export const ASC_MISCOMPARE = 0x1d;
export const ASC_ILLEGAL_OPCODE = 0x20;
export const ASC_LBA_OUT_OF_RANGE = 0x21;
export const ASC_INVALID_FIELD = 0x24;
export const ASC_NO_SUCH_LUN = 0x25;
export const ASC_INVALID_PARAMETER = 0x26;
export const ASC_WRITE_PROTECTED = 0x27;
export const ASC_MEDIUM_MAY_HAVE_CHANGED = 0x28;
export const ASC_RESET = 0x29;
export const ASC_PARAMETERS_CHANGED = 0x2a;
export const ASC_SAVING_NOT_SUPPORTED = 0x39;
export const ASC_NO_MEDIUM = 0x3a;
export const ASC_INTERNAL_FAILURE = 0x44;
export const ASC_REMOVAL_PREVENTED = 0x53;

// Operation codes, SPC-4 annex E.3
export const TEST_UNIT_READY = 0x00;
export const REQUEST_SENSE = 0x03;
export const READ_6 = 0x08;
export const WRITE_6 = 0x0a;
export const SEEK_6 = 0x0b;
export const INQUIRY = 0x12;
export const MODE_SELECT_6 = 0x15;
export const RESERVE_6 = 0x16;
export const RELEASE_6 = 0x17;
export const MODE_SENSE_6 = 0x1a;
export const START_STOP_UNIT = 0x1b;
export const SEND_DIAGNOSTIC = 0x1d;
export const PREVENT_ALLOW_REMOVAL = 0x1e;
export const READ_CAPACITY = 0x25;
export const READ_10 = 0x28;
export const WRITE_10 = 0x2a;
export const SEEK_10 = 0x2b;
export const WRITE_VERIFY_10 = 0x2e;
export const VERIFY_10 = 0x2f;
export const SYNCHRONIZE_CACHE = 0x35;
export const WRITE_SAME_10 = 0x41;
export const UNMAP = 0x42;
export const READ_TOC = 0x43;
export const GET_CONFIGURATION = 0x46;
export const GET_EVENT_STATUS = 0x4a;
export const READ_DISC_INFORMATION = 0x51;
export const MODE_SELECT_10 = 0x55;
export const RESERVE_10 = 0x56;
export const RELEASE_10 = 0x57;
export const MODE_SENSE_10 = 0x5a;
export const READ_16 = 0x88;
export const WRITE_16 = 0x8a;
export const WRITE_VERIFY_16 = 0x8e;
export const VERIFY_16 = 0x8f;
export const SYNCHRONIZE_CACHE_16 = 0x91;
export const WRITE_SAME_16 = 0x93;
export const SERVICE_ACTION_IN_16 = 0x9e;
export const REPORT_LUNS = 0xa0;
export const READ_12 = 0xa8;
export const WRITE_12 = 0xaa;
export const READ_DVD_STRUCTURE = 0xad;
export const WRITE_VERIFY_12 = 0xae;
export const VERIFY_12 = 0xaf;
export const SET_CD_SPEED = 0xbb;
export const MECHANISM_STATUS = 0xbd;
export const READ_CD = 0xbe;
/** Service action of SERVICE ACTION IN (16). */
export const SA_READ_CAPACITY_16 = 0x10;

/** Peripheral device types, SPC-4 6.4.2. */
export const TYPE_DISK = 0x00;
export const TYPE_CD = 0x05;
export const TYPE_UNKNOWN = 0x1f;

/** Bytes of a command by its group, the opcode's upper three bits (SPC-4 4.3.5.1); 0: vendor specific. */
export const CDB_BYTES: readonly number[] = [6, 10, 10, 0, 16, 12, 0, 0];

export interface Sense {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
}

export const sense = (key: number, asc: number, ascq = 0): Sense => ({ key, asc, ascq });

export const NO_SENSE = sense(SENSE_NONE, 0);
export const INVALID_FIELD = sense(SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD);
export const ILLEGAL_OPCODE = sense(SENSE_ILLEGAL_REQUEST, ASC_ILLEGAL_OPCODE);
export const LBA_OUT_OF_RANGE = sense(SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);

/** Fixed format, current error (SPC-4 4.5.3). */
export function fixedSense({ key, asc, ascq }: Sense): Uint8Array {
  const bytes = new Uint8Array(18);
  bytes[0] = 0x70;
  bytes[2] = key;
  bytes[7] = 10;
  bytes[12] = asc;
  bytes[13] = ascq;
  return bytes;
}

/** Descriptor format, current error, no descriptors (SPC-4 4.5.2). */
export function descriptorSense({ key, asc, ascq }: Sense): Uint8Array {
  return Uint8Array.of(0x72, key, asc, ascq, 0, 0, 0, 0);
}

/** ASCII, padded with spaces. */
export function putText(bytes: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) bytes[at + i] = i < text.length ? text.charCodeAt(i) : 0x20;
}
