/** Numbers of the VGA's registers (IBM VGA/XGA Technical Reference; Ferraro, "Programmer's Guide to the EGA, VGA and SVGA"). */

// Sequencer
export const SEQ_CLOCKING = 1;
export const SEQ_MAP_MASK = 2;
export const SEQ_CHARACTER_MAP = 3;
export const SEQ_MEMORY_MODE = 4;
export const SEQ_COUNT = 8;
export const CLOCKING_8_DOTS = 0x01;
export const CLOCKING_SCREEN_OFF = 0x20;
export const MEMORY_ODD_EVEN_OFF = 0x04;
export const MEMORY_CHAIN4 = 0x08;

// Graphics controller
export const GFX_SET_RESET = 0;
export const GFX_ENABLE_SET_RESET = 1;
export const GFX_COLOR_COMPARE = 2;
export const GFX_ROTATE = 3;
export const GFX_READ_MAP = 4;
export const GFX_MODE = 5;
export const GFX_MISC = 6;
export const GFX_COLOR_DONT_CARE = 7;
export const GFX_BIT_MASK = 8;
export const GFX_COUNT = 16;
export const GFX_MODE_READ1 = 0x08;
export const GFX_MODE_ODD_EVEN = 0x10;
export const GFX_MODE_SHIFT_INTERLEAVE = 0x20;
export const GFX_MODE_256 = 0x40;
export const GFX_MISC_GRAPHICS = 0x01;

// CRT controller
export const CRTC_H_DISPLAY_END = 0x01;
export const CRTC_OVERFLOW = 0x07;
export const CRTC_PRESET_ROW = 0x08;
export const CRTC_MAX_SCAN_LINE = 0x09;
export const CRTC_CURSOR_START = 0x0a;
export const CRTC_CURSOR_END = 0x0b;
export const CRTC_START_HIGH = 0x0c;
export const CRTC_START_LOW = 0x0d;
export const CRTC_CURSOR_HIGH = 0x0e;
export const CRTC_CURSOR_LOW = 0x0f;
export const CRTC_V_RETRACE_END = 0x11;
export const CRTC_V_DISPLAY_END = 0x12;
export const CRTC_OFFSET = 0x13;
export const CRTC_MODE = 0x17;
export const CRTC_LINE_COMPARE = 0x18;
export const CRTC_COUNT = 0x19;
export const CRTC_PROTECT = 0x80;
export const CURSOR_OFF = 0x20;
export const MAX_SCAN_DOUBLE = 0x80;

// Attribute controller
export const ATTR_MODE = 0x10;
export const ATTR_OVERSCAN = 0x11;
export const ATTR_PLANE_ENABLE = 0x12;
export const ATTR_PANNING = 0x13;
export const ATTR_COLOR_SELECT = 0x14;
export const ATTR_COUNT = 0x15;
export const ATTR_MODE_LINE_GRAPHICS = 0x04;
export const ATTR_MODE_BLINK = 0x08;
export const ATTR_MODE_PEL_WIDTH = 0x40;
export const ATTR_MODE_P54 = 0x80;

// Miscellaneous output
export const MISC_COLOR = 0x01;

// Bochs VBE extensions
export const VBE_ID = 0;
export const VBE_XRES = 1;
export const VBE_YRES = 2;
export const VBE_BPP = 3;
export const VBE_ENABLE = 4;
export const VBE_BANK = 5;
export const VBE_VIRT_WIDTH = 6;
export const VBE_VIRT_HEIGHT = 7;
export const VBE_X_OFFSET = 8;
export const VBE_Y_OFFSET = 9;
export const VBE_VIDEO_MEMORY_64K = 10;
export const VBE_COUNT = 11;
export const VBE_ID_BASE = 0xb0c0;
export const VBE_ID_NEWEST = 0xb0c5;
export const VBE_ENABLED = 0x01;
export const VBE_GET_CAPS = 0x02;
export const VBE_8BIT_DAC = 0x20;
export const VBE_LFB = 0x40;
export const VBE_NO_CLEAR = 0x80;
export const VBE_MAX_X = 16000;
export const VBE_MAX_Y = 12000;
