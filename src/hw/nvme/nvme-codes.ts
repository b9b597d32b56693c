/** Numbers of the NVM Express Base Specification, revision 1.4. */

// Controller registers, 3.1
export const REG_CAP = 0x00;
export const REG_VS = 0x08;
export const REG_INTMS = 0x0c;
export const REG_INTMC = 0x10;
export const REG_CC = 0x14;
export const REG_CSTS = 0x1c;
export const REG_AQA = 0x24;
export const REG_ASQ = 0x28;
export const REG_ACQ = 0x30;
export const REG_CMBLOC = 0x38;
export const REG_CMBSZ = 0x3c;
export const REG_CMBMSC = 0x50;
export const DOORBELLS = 0x1000;
export const VERSION_1_4 = 0x0001_0400;

export const CC_ENABLE = 1;
export const CSTS_READY = 1;
export const CSTS_FATAL = 2;

// Admin commands, 5
export const ADMIN_DELETE_SQ = 0x00;
export const ADMIN_CREATE_SQ = 0x01;
export const ADMIN_GET_LOG = 0x02;
export const ADMIN_DELETE_CQ = 0x04;
export const ADMIN_CREATE_CQ = 0x05;
export const ADMIN_IDENTIFY = 0x06;
export const ADMIN_ABORT = 0x08;
export const ADMIN_SET_FEATURES = 0x09;
export const ADMIN_GET_FEATURES = 0x0a;
export const ADMIN_ASYNC_EVENT = 0x0c;

// NVM commands, 6
export const NVM_FLUSH = 0x00;
export const NVM_WRITE = 0x01;
export const NVM_READ = 0x02;
export const NVM_COMPARE = 0x05;
export const NVM_WRITE_ZEROES = 0x08;
export const NVM_DATASET = 0x09;
export const NVM_VERIFY = 0x0c;

// Status: code type in bits 8…10, code in bits 0…7, 4.6.1
export const SUCCESS = 0x000;
export const INVALID_OPCODE = 0x001;
export const INVALID_FIELD = 0x002;
export const DATA_TRANSFER_ERROR = 0x004;
export const INTERNAL_ERROR = 0x006;
export const ABORTED = 0x007;
export const ABORTED_SQ_DELETION = 0x008;
export const INVALID_NAMESPACE = 0x00b;
export const INVALID_SGL_SEGMENT = 0x00d;
export const INVALID_SGL_COUNT = 0x00e;
export const INVALID_SGL_LENGTH = 0x00f;
export const INVALID_SGL_TYPE = 0x011;
export const INVALID_PRP_OFFSET = 0x013;
export const READ_ONLY_NAMESPACE = 0x020;
export const LBA_OUT_OF_RANGE = 0x080;
export const CAPACITY_EXCEEDED = 0x081;
export const INVALID_CQ = 0x100;
export const INVALID_QUEUE_ID = 0x101;
export const INVALID_QUEUE_SIZE = 0x102;
export const ASYNC_EVENT_LIMIT = 0x105;
export const INVALID_VECTOR = 0x108;
export const INVALID_LOG_PAGE = 0x109;
export const INVALID_QUEUE_DELETION = 0x10c;
export const FEATURE_NOT_SAVEABLE = 0x10d;
export const FEATURE_NOT_CHANGEABLE = 0x10e;
export const WRITE_FAULT = 0x280;
export const READ_ERROR = 0x281;
export const COMPARE_FAILURE = 0x285;
export const DO_NOT_RETRY = 0x4000;

// Features, 5.21.1
export const FEATURE_ARBITRATION = 0x01;
export const FEATURE_POWER = 0x02;
export const FEATURE_TEMPERATURE = 0x04;
export const FEATURE_ERROR_RECOVERY = 0x05;
export const FEATURE_WRITE_CACHE = 0x06;
export const FEATURE_QUEUES = 0x07;
export const FEATURE_COALESCING = 0x08;
export const FEATURE_VECTOR = 0x09;
export const FEATURE_ATOMICITY = 0x0a;
export const FEATURE_ASYNC_EVENTS = 0x0b;
export const FEATURE_TIMESTAMP = 0x0e;

// Log pages, 5.14.1
export const LOG_ERRORS = 0x01;
export const LOG_HEALTH = 0x02;
export const LOG_FIRMWARE = 0x03;
export const LOG_CHANGED_NAMESPACES = 0x04;
export const LOG_EFFECTS = 0x05;

// Asynchronous events, 5.2
export const EVENT_ERROR = 0;
export const EVENT_HEALTH = 1;
export const EVENT_NOTICE = 2;

export const COMMAND_BYTES = 64;
export const COMPLETION_BYTES = 16;
export const ALL_NAMESPACES = 0xffffffff;

/** A command out of a submission queue (4.2), with what it needs to be completed. */
export interface NvmeCommand {
  readonly sqid: number;
  readonly id: number;
  readonly opcode: number;
  /** Bits 6 and 7: how data is described. */
  readonly flags: number;
  readonly nsid: number;
  /** All 64 bytes; dwords 10 to 15 by `dword`. */
  readonly view: DataView;
  /** Which life of the controller it belongs to. */
  readonly epoch: number;
}

export const dword = (command: NvmeCommand, n: number): number => command.view.getUint32(4 * n, true);
