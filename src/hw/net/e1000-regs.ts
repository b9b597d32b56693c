/** Registers of the Intel 8254x family (PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual, chapter 13). */

export const CTRL = 0x0000;
export const STATUS = 0x0008;
export const EECD = 0x0010;
export const EERD = 0x0014;
export const MDIC = 0x0020;
export const VET = 0x0038;
export const ICR = 0x00c0;
export const ITR = 0x00c4;
export const ICS = 0x00c8;
export const IMS = 0x00d0;
export const IMC = 0x00d8;
export const RCTL = 0x0100;
export const TCTL = 0x0400;
export const LEDCTL = 0x0e00;
export const PBA = 0x1000;
export const RDBAL = 0x2800;
export const RDBAH = 0x2804;
export const RDLEN = 0x2808;
export const RDH = 0x2810;
export const RDT = 0x2818;
export const TDBAL = 0x3800;
export const TDBAH = 0x3804;
export const TDLEN = 0x3808;
export const TDH = 0x3810;
export const TDT = 0x3818;
/** Statistics: cleared by reading. */
export const STATISTICS = 0x4000;
export const STATISTICS_END = 0x4100;
export const MPC = 0x4010;
export const GPRC = 0x4074;
export const BPRC = 0x4078;
export const MPRC = 0x407c;
export const GPTC = 0x4080;
export const GORCL = 0x4088;
export const GOTCL = 0x4090;
export const TORL = 0x40c0;
export const TOTL = 0x40c8;
export const TPR = 0x40d0;
export const TPT = 0x40d4;
export const RXCSUM = 0x5000;
export const MTA = 0x5200;
export const RAL0 = 0x5400;
export const VFTA = 0x5600;
export const MANC = 0x5820;
/** Registers that are modelled end here; the rest of the window reads as 0. */
export const REGISTER_BYTES = 0x6000;

export const CTRL_SLU = 0x40;
export const CTRL_RST = 0x0400_0000;
export const CTRL_VME = 0x4000_0000;
export const CTRL_PHY_RST = 0x8000_0000;
export const STATUS_FD = 1;
export const STATUS_LU = 2;
/** 1000 Mb/s. */
export const STATUS_SPEED = 0x80;
/** Bits of the bus: 66 MHz PCI. */
export const STATUS_DEFAULT = 0x8000_0000 | STATUS_FD | STATUS_SPEED;

export const EECD_SK = 1;
export const EECD_CS = 2;
export const EECD_DI = 4;
export const EECD_DO = 8;
export const EECD_REQ = 0x40;
export const EECD_GNT = 0x80;
export const EECD_PRES = 0x100;
export const EERD_START = 1;
export const EERD_DONE = 0x10;

export const MDIC_READY = 0x1000_0000;
export const MDIC_INTERRUPT = 0x2000_0000;
export const MDIC_ERROR = 0x4000_0000;

export const INT_TXDW = 1;
export const INT_TXQE = 2;
export const INT_LSC = 4;
export const INT_RXDMT0 = 0x10;
export const INT_RXT0 = 0x80;
export const INT_MDAC = 0x200;

export const RCTL_EN = 2;
export const RCTL_UPE = 8;
export const RCTL_MPE = 0x10;
export const RCTL_LPE = 0x20;
export const RCTL_LOOPBACK = 0xc0;
export const RCTL_BAM = 0x8000;
export const RCTL_VFE = 0x4_0000;
export const RCTL_BSEX = 0x0200_0000;
export const RCTL_SECRC = 0x0400_0000;
export const TCTL_EN = 2;

// Descriptors, 3.2.3 and 3.3
export const CMD_EOP = 1;
export const CMD_IC = 4;
export const CMD_TSE = 4;
export const CMD_RS = 8;
export const CMD_DEXT = 0x20;
export const CMD_VLE = 0x40;
export const DTYP_DATA = 1;
export const POPTS_IXSM = 1;
export const POPTS_TXSM = 2;
export const TUCMD_TCP = 1;
export const TUCMD_IP = 2;
export const RX_DD = 1;
export const RX_EOP = 2;
export const RX_IXSM = 4;
export const RX_VP = 8;
export const RX_TCPCS = 0x20;
export const RX_IPCS = 0x40;
