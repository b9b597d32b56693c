/**
 * Numbers and structures of KVM that are the same on every architecture (Linux, Documentation/virt/kvm/api.rst). Offsets are
 * in bytes. What is an architecture's own stands beside this file: x86.ts.
 */
import { io, ior, iow } from './ioctl.ts';

export const KVM_API_VERSION = 12;

// ---- /dev/kvm
export const KVM_GET_API_VERSION = io(0x00);
export const KVM_CREATE_VM = io(0x01);
export const KVM_CHECK_EXTENSION = io(0x03);
export const KVM_GET_VCPU_MMAP_SIZE = io(0x04);

// ---- virtual machine
export const KVM_CREATE_VCPU = io(0x41);
export const KVM_GET_DIRTY_LOG = iow(0x42, 16);
export const KVM_SET_USER_MEMORY_REGION = iow(0x46, 32);
export const KVM_CREATE_IRQCHIP = io(0x60);
export const KVM_IRQ_LINE = iow(0x61, 8);
export const KVM_REGISTER_COALESCED_MMIO = iow(0x67, 16);
export const KVM_UNREGISTER_COALESCED_MMIO = iow(0x68, 16);
export const KVM_SET_GSI_ROUTING = iow(0x6a, 8);
export const KVM_IRQFD = iow(0x76, 32);
export const KVM_SET_BOOT_CPU_ID = io(0x78);
export const KVM_IOEVENTFD = iow(0x79, 64);
export const KVM_ENABLE_CAP = iow(0xa3, 104);
export const KVM_SIGNAL_MSI = iow(0xa5, 32);

// ---- vCPU
export const KVM_RUN = io(0x80);
export const KVM_SET_SIGNAL_MASK = iow(0x8b, 4);
export const KVM_GET_MP_STATE = ior(0x98, 4);
export const KVM_SET_MP_STATE = iow(0x99, 4);
export const KVM_SET_GUEST_DEBUG = iow(0x9b, 72);

// ---- capabilities (KVM_CHECK_EXTENSION)
export const KVM_CAP_IRQCHIP = 0;
export const KVM_CAP_USER_MEMORY = 3;
export const KVM_CAP_NR_VCPUS = 9;
export const KVM_CAP_NR_MEMSLOTS = 10;
export const KVM_CAP_MP_STATE = 14;
export const KVM_CAP_COALESCED_MMIO = 15;
export const KVM_CAP_SYNC_MMU = 16;
export const KVM_CAP_SET_GUEST_DEBUG = 23;
export const KVM_CAP_IRQ_ROUTING = 25;
export const KVM_CAP_IRQFD = 32;
export const KVM_CAP_IOEVENTFD = 36;
export const KVM_CAP_INTERNAL_ERROR_DATA = 40;
export const KVM_CAP_MAX_VCPUS = 66;
export const KVM_CAP_SIGNAL_MSI = 77;
export const KVM_CAP_READONLY_MEM = 81;
export const KVM_CAP_IRQFD_RESAMPLE = 82;
export const KVM_CAP_IMMEDIATE_EXIT = 136;
export const KVM_CAP_COALESCED_PIO = 162;

// ---- struct kvm_run
export const RUN_REQUEST_INTERRUPT_WINDOW = 0;
export const RUN_IMMEDIATE_EXIT = 1;
export const RUN_EXIT_REASON = 8;
export const RUN_READY_FOR_INTERRUPT = 12;
export const RUN_IF_FLAG = 13;
export const RUN_FLAGS = 14;
export const RUN_CR8 = 16;
export const RUN_APIC_BASE = 24;
/** Where the part that depends on the exit reason begins. */
export const RUN_EXIT = 32;
export const RUN_IO_DIRECTION = 32;
export const RUN_IO_SIZE = 33;
export const RUN_IO_PORT = 34;
export const RUN_IO_COUNT = 36;
export const RUN_IO_DATA_OFFSET = 40;
export const RUN_MMIO_ADDRESS = 32;
export const RUN_MMIO_DATA = 40;
export const RUN_MMIO_LENGTH = 48;
export const RUN_MMIO_IS_WRITE = 52;
export const RUN_FAIL_REASON = 32;
export const RUN_INTERNAL_SUBERROR = 32;
export const RUN_INTERNAL_COUNT = 36;
export const RUN_INTERNAL_DATA = 40;
export const RUN_EVENT_TYPE = 32;
export const RUN_EOI_VECTOR = 32;
export const RUN_DEBUG_EXCEPTION = 32;
export const RUN_DEBUG_PC = 40;
export const RUN_DEBUG_DR6 = 48;
export const RUN_DEBUG_DR7 = 56;

// ---- exit reasons
export const EXIT_UNKNOWN = 0;
export const EXIT_EXCEPTION = 1;
export const EXIT_IO = 2;
export const EXIT_HYPERCALL = 3;
export const EXIT_DEBUG = 4;
export const EXIT_HLT = 5;
export const EXIT_MMIO = 6;
export const EXIT_IRQ_WINDOW_OPEN = 7;
export const EXIT_SHUTDOWN = 8;
export const EXIT_FAIL_ENTRY = 9;
export const EXIT_INTR = 10;
export const EXIT_SET_TPR = 11;
export const EXIT_INTERNAL_ERROR = 17;
export const EXIT_SYSTEM_EVENT = 24;
export const EXIT_IOAPIC_EOI = 26;

export const IO_OUT = 1;

/** KVM_INTERNAL_ERROR_*. */
export const INTERNAL_EMULATION = 1;

export const SYSTEM_EVENT_SHUTDOWN = 1;
export const SYSTEM_EVENT_RESET = 2;
export const SYSTEM_EVENT_CRASH = 3;

// ---- KVM_SET_USER_MEMORY_REGION
export const MEM_LOG_DIRTY_PAGES = 1;
export const MEM_READONLY = 2;

// ---- KVM_SET_MP_STATE
export const MP_RUNNABLE = 0;
export const MP_UNINITIALIZED = 1;
export const MP_INIT_RECEIVED = 2;
export const MP_HALTED = 3;
export const MP_SIPI_RECEIVED = 4;

// ---- KVM_IOEVENTFD flags
export const IOEVENTFD_DATAMATCH = 1;
export const IOEVENTFD_PIO = 2;
export const IOEVENTFD_DEASSIGN = 4;

// ---- KVM_IRQFD flags
export const IRQFD_DEASSIGN = 1;
export const IRQFD_RESAMPLE = 2;

// ---- KVM_SET_GSI_ROUTING
export const ROUTING_IRQCHIP = 1;
export const ROUTING_MSI = 2;
export const ROUTING_ENTRY_SIZE = 48;

// ---- KVM_SET_GUEST_DEBUG
export const GUESTDBG_ENABLE = 1;
export const GUESTDBG_SINGLESTEP = 2;

/** The ring of coalesced accesses lies this many pages into the vCPU's mapping: first and last (u32), then entries of 24 bytes. */
export const COALESCED_PAGE_OFFSET = 2;
export const COALESCED_ENTRY_SIZE = 24;
