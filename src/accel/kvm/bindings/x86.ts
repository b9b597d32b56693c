/** KVM on x86-64: ioctl numbers, structures and capabilities (Linux, Documentation/virt/kvm/api.rst). Offsets in bytes. */
import { io, ior, iow, iowr } from './ioctl.ts';

// ---- /dev/kvm
export const KVM_GET_MSR_INDEX_LIST = iowr(0x02, 4);
export const KVM_GET_SUPPORTED_CPUID = iowr(0x05, 8);

// ---- virtual machine
export const KVM_SET_TSS_ADDR = io(0x47);
export const KVM_SET_IDENTITY_MAP_ADDR = iow(0x48, 8);
export const KVM_GET_IRQCHIP = iowr(0x62, 520);
export const KVM_SET_IRQCHIP = ior(0x63, 520);
export const KVM_REINJECT_CONTROL = io(0x71);
export const KVM_CREATE_PIT2 = iow(0x77, 64);
export const KVM_SET_CLOCK = iow(0x7b, 48);
export const KVM_GET_CLOCK = ior(0x7c, 48);
export const KVM_GET_PIT2 = ior(0x9f, 112);
export const KVM_SET_PIT2 = iow(0xa0, 112);

// ---- vCPU
export const KVM_GET_REGS = ior(0x81, 144);
export const KVM_SET_REGS = iow(0x82, 144);
export const KVM_GET_SREGS = ior(0x83, 312);
export const KVM_SET_SREGS = iow(0x84, 312);
export const KVM_TRANSLATE = iowr(0x85, 24);
export const KVM_INTERRUPT = iow(0x86, 4);
export const KVM_GET_MSRS = iowr(0x88, 8);
export const KVM_SET_MSRS = iow(0x89, 8);
export const KVM_GET_FPU = ior(0x8c, 416);
export const KVM_SET_FPU = iow(0x8d, 416);
export const KVM_GET_LAPIC = ior(0x8e, 1024);
export const KVM_SET_LAPIC = iow(0x8f, 1024);
export const KVM_SET_CPUID2 = iow(0x90, 8);
export const KVM_NMI = io(0x9a);
export const KVM_GET_VCPU_EVENTS = ior(0x9f, 64);
export const KVM_SET_VCPU_EVENTS = iow(0xa0, 64);
export const KVM_GET_DEBUGREGS = ior(0xa1, 128);
export const KVM_SET_DEBUGREGS = iow(0xa2, 128);
export const KVM_SET_TSC_KHZ = io(0xa2);
export const KVM_GET_TSC_KHZ = io(0xa3);
export const KVM_GET_XSAVE = ior(0xa4, 4096);
export const KVM_SET_XSAVE = iow(0xa5, 4096);
export const KVM_GET_XCRS = ior(0xa6, 392);
export const KVM_SET_XCRS = iow(0xa7, 392);
export const KVM_KVMCLOCK_CTRL = io(0xad);

// ---- capabilities
export const KVM_CAP_SET_TSS_ADDR = 4;
export const KVM_CAP_EXT_CPUID = 7;
export const KVM_CAP_PIT2 = 33;
export const KVM_CAP_PIT_STATE2 = 35;
export const KVM_CAP_SET_IDENTITY_MAP_ADDR = 37;
export const KVM_CAP_ADJUST_CLOCK = 39;
export const KVM_CAP_VCPU_EVENTS = 41;
export const KVM_CAP_DEBUGREGS = 50;
export const KVM_CAP_XSAVE = 55;
export const KVM_CAP_XCRS = 56;
export const KVM_CAP_TSC_CONTROL = 60;
export const KVM_CAP_GET_TSC_KHZ = 61;
export const KVM_CAP_TSC_DEADLINE_TIMER = 72;
export const KVM_CAP_SPLIT_IRQCHIP = 121;
export const KVM_CAP_X2APIC_API = 129;

// ---- struct kvm_regs: rax rbx rcx rdx rsi rdi rsp rbp r8…r15 rip rflags, 8 bytes each
export const REGS_SIZE = 144;
export const REGS_RSP = 48;
export const REGS_RIP = 128;
export const REGS_RFLAGS = 136;
/** Offset of each general register by its number in instructions (rax rcx rdx rbx rsp rbp rsi rdi r8…r15). */
export const REGS_BY_NUMBER: readonly number[] = [
  0, 16, 24, 8, 48, 56, 32, 40, 64, 72, 80, 88, 96, 104, 112, 120,
];

// ---- struct kvm_sregs
export const SREGS_SIZE = 312;
/** cs ds es fs gs ss tr ldt, 24 bytes each. */
export const SREGS_CS = 0;
export const SREGS_DS = 24;
export const SREGS_ES = 48;
export const SREGS_FS = 72;
export const SREGS_GS = 96;
export const SREGS_SS = 120;
export const SREGS_TR = 144;
export const SREGS_LDT = 168;
/** base u64, limit u16. */
export const SREGS_GDT = 192;
export const SREGS_IDT = 208;
export const SREGS_CR0 = 224;
export const SREGS_CR2 = 232;
export const SREGS_CR3 = 240;
export const SREGS_CR4 = 248;
export const SREGS_CR8 = 256;
export const SREGS_EFER = 264;
export const SREGS_APIC_BASE = 272;
/** One bit per vector: an interrupt that was acknowledged and not yet delivered. */
export const SREGS_INTERRUPT_BITMAP = 280;

// ---- struct kvm_segment
export const SEGMENT_BASE = 0;
export const SEGMENT_LIMIT = 8;
export const SEGMENT_SELECTOR = 12;
export const SEGMENT_TYPE = 14;
export const SEGMENT_PRESENT = 15;
export const SEGMENT_DPL = 16;
export const SEGMENT_DB = 17;
export const SEGMENT_S = 18;
export const SEGMENT_L = 19;
export const SEGMENT_G = 20;
export const SEGMENT_AVL = 21;
export const SEGMENT_UNUSABLE = 22;

// ---- XSAVE area in standard form (SDM Vol. 1 13.4): FXSAVE image, header at 512, AVX upper halves at 576
export const XSAVE_SIZE = 4096;
export const XSAVE_FCW = 0;
export const XSAVE_FSW = 2;
/** Abridged tag word: bit n set = physical register n not empty. */
export const XSAVE_FTW = 4;
export const XSAVE_FOP = 6;
export const XSAVE_FIP = 8;
export const XSAVE_FDP = 16;
export const XSAVE_MXCSR = 24;
export const XSAVE_MXCSR_MASK = 28;
/** ST0…7, 16 bytes each. */
export const XSAVE_ST = 32;
export const XSAVE_XMM = 160;
export const XSAVE_HEADER = 512;
export const XSAVE_YMM_HI = 576;

// ---- struct kvm_xcrs: count u32, flags u32, then xcr u32, reserved u32, value u64
export const XCRS_SIZE = 392;
export const XCRS_FIRST = 8;

// ---- struct kvm_debugregs
export const DEBUGREGS_SIZE = 128;
export const DEBUGREGS_DR6 = 32;
export const DEBUGREGS_DR7 = 40;

// ---- struct kvm_vcpu_events
export const EVENTS_SIZE = 64;
export const EVENTS_EXCEPTION_INJECTED = 0;
export const EVENTS_EXCEPTION_VECTOR = 1;
export const EVENTS_EXCEPTION_HAS_ERROR = 2;
export const EVENTS_EXCEPTION_PENDING = 3;
export const EVENTS_EXCEPTION_ERROR = 4;
export const EVENTS_INTERRUPT_INJECTED = 8;
export const EVENTS_INTERRUPT_VECTOR = 9;
export const EVENTS_INTERRUPT_SOFT = 10;
/** KVM_X86_SHADOW_INT_*: 1 MOV SS, 2 STI. */
export const EVENTS_SHADOW = 11;
export const EVENTS_NMI_INJECTED = 12;
export const EVENTS_NMI_PENDING = 13;
export const EVENTS_NMI_MASKED = 14;
export const EVENTS_SIPI_VECTOR = 16;
export const EVENTS_FLAGS = 20;
export const EVENTS_SMI = 24;
export const EVENT_FLAG_NMI_PENDING = 1;
export const EVENT_FLAG_SIPI_VECTOR = 2;
export const EVENT_FLAG_SHADOW = 4;
export const SHADOW_MOV_SS = 1;
export const SHADOW_STI = 2;

// ---- KVM_SET_CPUID2: count u32, padding u32, then entries
export const CPUID_ENTRY_SIZE = 40;
export const CPUID_FUNCTION = 0;
export const CPUID_INDEX = 4;
export const CPUID_FLAGS = 8;
export const CPUID_EAX = 12;
export const CPUID_EBX = 16;
export const CPUID_ECX = 20;
export const CPUID_EDX = 24;
export const CPUID_SIGNIFICANT_INDEX = 1;

// ---- struct kvm_irqchip: chip id u32, padding u32, state
export const IRQCHIP_SIZE = 520;
export const IRQCHIP_STATE = 8;
export const IRQCHIP_PIC_MASTER = 0;
export const IRQCHIP_PIC_SLAVE = 1;
export const IRQCHIP_IOAPIC = 2;
export const LAPIC_SIZE = 1024;
export const PIT_STATE_SIZE = 112;
export const PIT_CHANNEL_SIZE = 24;
export const CLOCK_SIZE = 48;

/** KVM_SET_GUEST_DEBUG, x86. */
export const GUEST_DEBUG_SIZE = 72;
export const GUESTDBG_USE_SW_BP = 0x1_0000;
export const GUESTDBG_USE_HW_BP = 0x2_0000;
export const GUEST_DEBUG_DR0 = 8;
export const GUEST_DEBUG_DR7 = 64;
