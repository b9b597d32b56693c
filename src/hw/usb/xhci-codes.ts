/** Numbers of the eXtensible Host Controller Interface for Universal Serial Bus 1.1 (section in brackets). */

// Operational registers from the capability length on (5.4)
export const USBCMD = 0x00;
export const USBSTS = 0x04;
export const PAGESIZE = 0x08;
export const DNCTRL = 0x14;
export const CRCR = 0x18;
export const DCBAAP = 0x30;
export const CONFIG = 0x38;
export const PORTS = 0x400;
export const PORT_BYTES = 0x10;

export const CMD_RUN = 1;
export const CMD_RESET = 2;
export const CMD_INTE = 4;
export const CMD_HSEE = 8;
export const CMD_SAVE = 0x100;
export const CMD_RESTORE = 0x200;
export const CMD_WRITABLE = 0xc0f;
export const STS_HALTED = 1;
export const STS_HOST_ERROR = 4;
export const STS_EVENT = 8;
export const STS_PORT_CHANGE = 0x10;
export const STS_RESTORE_ERROR = 0x400;
export const STS_CONTROLLER_ERROR = 0x1000;
/** Cleared by writing ones. */
export const STS_WRITE_CLEARS = STS_HOST_ERROR | STS_EVENT | STS_PORT_CHANGE | STS_RESTORE_ERROR;

export const CRCR_CYCLE = 1;
export const CRCR_STOP = 2;
export const CRCR_ABORT = 4;
export const CRCR_RUNNING = 8;

// PORTSC (5.4.8)
export const PORT_CONNECTED = 0x1;
export const PORT_ENABLED = 0x2;
export const PORT_RESET = 0x10;
export const PORT_LINK_SHIFT = 5;
export const PORT_LINK_MASK = 0xf << 5;
export const PORT_POWER = 0x200;
export const PORT_SPEED_SHIFT = 10;
export const PORT_LINK_STROBE = 0x10000;
export const PORT_CONNECT_CHANGE = 1 << 17;
export const PORT_ENABLE_CHANGE = 1 << 18;
export const PORT_WARM_RESET_CHANGE = 1 << 19;
export const PORT_RESET_CHANGE = 1 << 21;
export const PORT_LINK_CHANGE = 1 << 22;
export const PORT_CHANGES = 0xfe0000;
export const PORT_WAKE = 0xe000000;
/** 0x80000000 as a signed number. */
export const PORT_WARM_RESET = 1 << 31;
export const LINK_U0 = 0;
export const LINK_U3 = 3;
export const LINK_DISABLED = 4;
export const LINK_RX_DETECT = 5;
export const LINK_RESUME = 15;

// TRB types (6.4.6)
export const TR_NORMAL = 1;
export const TR_SETUP = 2;
export const TR_DATA = 3;
export const TR_STATUS = 4;
export const TR_ISOCH = 5;
export const TR_LINK = 6;
export const TR_EVENT_DATA = 7;
export const TR_NOOP = 8;
export const CR_ENABLE_SLOT = 9;
export const CR_DISABLE_SLOT = 10;
export const CR_ADDRESS_DEVICE = 11;
export const CR_CONFIGURE_ENDPOINT = 12;
export const CR_EVALUATE_CONTEXT = 13;
export const CR_RESET_ENDPOINT = 14;
export const CR_STOP_ENDPOINT = 15;
export const CR_SET_DEQUEUE = 16;
export const CR_RESET_DEVICE = 17;
export const CR_GET_PORT_BANDWIDTH = 21;
export const CR_NOOP = 23;
export const ER_TRANSFER = 32;
export const ER_COMMAND = 33;
export const ER_PORT_CHANGE = 34;
export const ER_HOST_CONTROLLER = 37;

// Completion codes (6.4.5)
export const CC_SUCCESS = 1;
export const CC_TRANSACTION_ERROR = 4;
export const CC_TRB_ERROR = 5;
export const CC_STALL = 6;
export const CC_NO_SLOTS = 9;
export const CC_SLOT_NOT_ENABLED = 11;
export const CC_SHORT_PACKET = 13;
export const CC_PARAMETER_ERROR = 17;
export const CC_CONTEXT_STATE_ERROR = 19;
export const CC_EVENT_RING_FULL = 21;
export const CC_COMMAND_RING_STOPPED = 24;
export const CC_STOPPED = 26;
export const CC_STOPPED_LENGTH_INVALID = 27;

// TRB control bits
export const TRB_CYCLE = 1;
export const TRB_TOGGLE = 2;
export const TRB_ISP = 4;
export const TRB_CHAIN = 0x10;
export const TRB_IOC = 0x20;
export const TRB_IMMEDIATE = 0x40;
export const TRB_DIRECTION = 1 << 16;
export const TRB_EVENT_DATA = 4;
export const TRB_BSR = 1 << 9;
export const TRB_BYTES = 16;

// Slot states (6.2.2) and endpoint states (6.2.3)
export const SLOT_DISABLED = 0;
export const SLOT_DEFAULT = 1;
export const SLOT_ADDRESSED = 2;
export const SLOT_CONFIGURED = 3;
export const EP_DISABLED = 0;
export const EP_RUNNING = 1;
export const EP_HALTED = 2;
export const EP_STOPPED = 3;
export const EP_ERROR = 4;

// Endpoint types (table 6-9)
export const EP_CONTROL = 4;

export const trbType = (control: number): number => (control >>> 10) & 0x3f;
