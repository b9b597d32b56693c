/** Numbers of the Universal Serial Bus Specification 2.0 (chapters 8 and 9) and 3.2. */

/** Token packets, 8.3.1. */
export const PID_OUT = 0xe1;
export const PID_IN = 0x69;
export const PID_SETUP = 0x2d;

/** What a transaction ends with instead of a number of bytes. */
export const USB_NAK = -1;
export const USB_STALL = -2;
/** Nobody answers. */
export const USB_NO_DEVICE = -3;

export const SPEED_LOW = 0;
export const SPEED_FULL = 1;
export const SPEED_HIGH = 2;
export const SPEED_SUPER = 3;
export type UsbSpeed = 0 | 1 | 2 | 3;
export const SPEED_NAMES = ['1.5', '12', '480', '5000'] as const;
export const speedBit = (speed: UsbSpeed): number => 1 << speed;

// Requests, table 9-4
export const GET_STATUS = 0;
export const CLEAR_FEATURE = 1;
export const SET_FEATURE = 3;
export const SET_ADDRESS = 5;
export const GET_DESCRIPTOR = 6;
export const GET_CONFIGURATION = 8;
export const SET_CONFIGURATION = 9;
export const GET_INTERFACE = 10;
export const SET_INTERFACE = 11;
export const SET_SEL = 0x30;
export const SET_ISOCH_DELAY = 0x31;

// bmRequestType, table 9-2
export const REQUEST_IN = 0x80;
export const TYPE_CLASS = 0x20;
export const TYPE_VENDOR = 0x40;
export const TO_INTERFACE = 1;
export const TO_ENDPOINT = 2;
export const TO_OTHER = 3;

// Features, table 9-6
export const ENDPOINT_HALT = 0;
export const REMOTE_WAKEUP = 1;

// Descriptors, table 9-5
export const DT_DEVICE = 1;
export const DT_CONFIGURATION = 2;
export const DT_STRING = 3;
export const DT_INTERFACE = 4;
export const DT_ENDPOINT = 5;
export const DT_QUALIFIER = 6;
export const DT_OTHER_SPEED = 7;
export const DT_BOS = 15;
export const DT_HID = 0x21;
export const DT_HID_REPORT = 0x22;
export const DT_HUB = 0x29;
export const DT_ENDPOINT_COMPANION = 0x30;

export const ENDPOINT_BULK = 2;
export const ENDPOINT_INTERRUPT = 3;
