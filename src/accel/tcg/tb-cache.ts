import {
  CODE_MASK,
  PAGE_CODE,
  PAGE_FLAGS,
  TB_ARENA,
  TB_ARENA_END,
  TB_DESCRIPTOR_SIZE,
  TB_FLAGS,
  TB_FUNC,
  TB_HASH_NEXT,
  TB_HOST_PC,
  TB_HOST_PC2,
  TB_HOT,
  TB_INVALID,
  TB_IR,
  TB_IR_END,
  TB_KEY,
  TB_PAGE_NEXT,
  TB_PAGE_NEXT2,
  TB_RIP,
  TB_SIZE,
} from '../../runtime/tcg/layout.ts';
import type { TcgCounters } from './counters.ts';
import type { TcgMemory } from './tcg-memory.ts';

/** What the cache calls in the runtime module. */
export interface TbRuntime {
  tb_hash_insert(tb: number): void;
  tb_hash_remove(tb: number): void;
  tb_hash_clear(): void;
  jc_remove_tb(tb: number): void;
  jc_flush_all(): void;
  tlb_protect(hostPage: number): void;
}

/** Told before a block's memory may be reused or its code has changed. */
export interface TbListener {
  onBlockInvalidated(tb: number): void;
  onAllInvalidated(): void;
}

/** Room that one block may need at most: descriptor and IR. */
export const TB_MAX_BYTES = 0x8000;

export interface TbDescriptor {
  ripLo: number;
  ripHi: number;
  flags: number;
  csBase: number;
  hostPc: number;
  /** Host address of the second page, or 0. */
  hostPc2: number;
  irEnd: number;
  sizeBytes: number;
  insns: number;
  hot: number;
  /** False: the block is neither found by look-ups nor protected against writes. */
  cached: boolean;
}

/**
 * The arena of translated blocks: a bump allocator that is emptied as a whole when full, and for every page of memory the list of
 * the blocks whose code lies on it. Blocks are named by the address of their descriptor.
 */
export class TbCache {
  private readonly runtime: TbRuntime;
  private readonly listener: TbListener;
  private readonly counters: TcgCounters;
  private readonly u32: Uint32Array;
  private readonly u8: Uint8Array;
  /** First link of the list of blocks per page; low bit of a link: which page of the block. */
  private readonly pageHead: Uint32Array;
  private readonly codePages = new Set<number>();
  private next = TB_ARENA;
  /** Blocks that are valid now. */
  liveBlocks = 0;

  constructor(memory: TcgMemory, runtime: TbRuntime, listener: TbListener, counters: TcgCounters) {
    this.runtime = runtime;
    this.listener = listener;
    this.counters = counters;
    this.u32 = memory.u32;
    this.u8 = memory.u8;
    this.pageHead = new Uint32Array(memory.u8.length / 4096);
  }

  /** Address for the next block's descriptor; its IR goes right behind. Empties the cache first when there is no room. */
  reserve(): number {
    if (this.next + TB_MAX_BYTES > TB_ARENA_END) this.flushAll();
    return this.next;
  }

  /** Bytes of the arena in use. */
  get usedBytes(): number {
    return this.next - TB_ARENA;
  }

  /** Fills in the descriptor of the block at `tb` (from `reserve`) and makes it findable. */
  commit(tb: number, d: TbDescriptor): void {
    const w = this.u32;
    const at = tb >>> 2;
    w[at + (TB_RIP >> 2)] = d.ripLo;
    w[at + (TB_RIP >> 2) + 1] = d.ripHi;
    w[at + (TB_KEY >> 2)] = d.flags;
    w[at + (TB_KEY >> 2) + 1] = d.csBase;
    w[at + (TB_HOST_PC >> 2)] = d.hostPc;
    w[at + (TB_HOST_PC2 >> 2)] = d.hostPc2;
    w[at + (TB_IR >> 2)] = tb + TB_DESCRIPTOR_SIZE;
    w[at + (TB_IR_END >> 2)] = d.irEnd;
    w[at + (TB_SIZE >> 2)] = d.sizeBytes | (d.insns << 16);
    w[at + (TB_HOT >> 2)] = d.hot;
    w[at + (TB_FUNC >> 2)] = 0;
    w[at + (TB_HASH_NEXT >> 2)] = 0;
    w[at + (TB_FLAGS >> 2)] = 0;
    this.next = (d.irEnd + 63) & ~63;
    if (!d.cached) return;
    this.liveBlocks++;
    this.link(tb, d.hostPc, 0);
    if (d.hostPc2 !== 0) this.link(tb, d.hostPc2, 1);
    this.runtime.tb_hash_insert(tb);
  }

  private link(tb: number, hostPc: number, which: 0 | 1): void {
    const page = hostPc >>> 12;
    const w = this.u32;
    w[(tb + (which === 0 ? TB_PAGE_NEXT : TB_PAGE_NEXT2)) >>> 2] = this.pageHead[page]!;
    this.pageHead[page] = tb | which;
    this.addToMask(tb, page, which);
    const flags = this.u8[PAGE_FLAGS + page]!;
    if ((flags & PAGE_CODE) === 0) {
      this.u8[PAGE_FLAGS + page] = flags | PAGE_CODE;
      this.codePages.add(page);
      this.runtime.tlb_protect(page << 12);
    }
  }

  /** First byte of the block's part on one of its pages, as an offset in the page. */
  private partStart(tb: number, which: number): number {
    return which === 0 ? this.u32[(tb + TB_HOST_PC) >>> 2]! & 0xfff : 0;
  }

  /** Offset in the page behind that part. */
  private partEnd(tb: number, which: number): number {
    const end = (this.u32[(tb + TB_HOST_PC) >>> 2]! & 0xfff) + (this.u32[(tb + TB_SIZE) >>> 2]! & 0xffff);
    return which === 0 ? Math.min(end, 4096) : end - 4096;
  }

  private addToMask(tb: number, page: number, which: number): void {
    const first = this.partStart(tb, which) >> 6;
    const last = (this.partEnd(tb, which) - 1) >> 6;
    const at = (CODE_MASK >>> 2) + page * 2;
    for (let granule = first; granule <= last; granule++)
      this.u32[at + (granule >> 5)]! |= 1 << (granule & 31);
  }

  /** True when some block lies on the page of this address. */
  hasCode(hostAddr: number): boolean {
    return this.pageHead[hostAddr >>> 12] !== 0;
  }

  /** Memory [hostAddr, hostAddr + size) has changed or is about to: blocks translated from it die. Returns how many did. */
  invalidate(hostAddr: number, size: number): number {
    let killed = 0;
    const end = hostAddr + size;
    for (let at = hostAddr; at < end; at = ((at & ~0xfff) >>> 0) + 4096) {
      const page = at >>> 12;
      if (this.pageHead[page] !== 0)
        killed += this.invalidateInPage(page, at & 0xfff, Math.min(end - ((page << 12) >>> 0), 4096));
    }
    return killed;
  }

  private invalidateInPage(page: number, from: number, to: number): number {
    let killed = 0;
    let link = this.pageHead[page]!;
    while (link !== 0) {
      const tb = (link & ~1) >>> 0;
      const which = link & 1;
      link = this.u32[(tb + (which === 0 ? TB_PAGE_NEXT : TB_PAGE_NEXT2)) >>> 2]!;
      if (this.partStart(tb, which) >= to || this.partEnd(tb, which) <= from) continue;
      this.kill(tb);
      killed++;
    }
    if (killed !== 0) this.rebuildMask(page);
    return killed;
  }

  private kill(tb: number): void {
    const w = this.u32;
    w[(tb + TB_FLAGS) >>> 2]! |= TB_INVALID;
    this.liveBlocks--;
    this.counters.blocksInvalidated++;
    this.runtime.tb_hash_remove(tb);
    this.runtime.jc_remove_tb(tb);
    this.unlink(tb, w[(tb + TB_HOST_PC) >>> 2]!, 0);
    const second = w[(tb + TB_HOST_PC2) >>> 2]!;
    if (second !== 0) this.unlink(tb, second, 1);
    this.listener.onBlockInvalidated(tb);
  }

  private unlink(tb: number, hostPc: number, which: 0 | 1): void {
    const page = hostPc >>> 12;
    const w = this.u32;
    const wanted = (tb | which) >>> 0;
    const after = w[(tb + (which === 0 ? TB_PAGE_NEXT : TB_PAGE_NEXT2)) >>> 2]!;
    if (this.pageHead[page] === wanted) {
      this.pageHead[page] = after;
      return;
    }
    let link = this.pageHead[page]!;
    while (link !== 0) {
      const at = ((link & ~1) + ((link & 1) === 0 ? TB_PAGE_NEXT : TB_PAGE_NEXT2)) >>> 2;
      if (w[at] === wanted) {
        w[at] = after;
        return;
      }
      link = w[at]!;
    }
  }

  private rebuildMask(page: number): void {
    const at = (CODE_MASK >>> 2) + page * 2;
    this.u32[at] = 0;
    this.u32[at + 1] = 0;
    let link = this.pageHead[page]!;
    if (link === 0) {
      this.u8[PAGE_FLAGS + page]! &= ~PAGE_CODE;
      this.codePages.delete(page);
      return;
    }
    while (link !== 0) {
      const tb = (link & ~1) >>> 0;
      this.addToMask(tb, page, link & 1);
      link = this.u32[(tb + ((link & 1) === 0 ? TB_PAGE_NEXT : TB_PAGE_NEXT2)) >>> 2]!;
    }
  }

  /** Forgets every block. Nothing may be executing translated code. */
  flushAll(): void {
    this.listener.onAllInvalidated();
    this.runtime.tb_hash_clear();
    this.runtime.jc_flush_all();
    for (const page of this.codePages) {
      this.pageHead[page] = 0;
      this.u8[PAGE_FLAGS + page]! &= ~PAGE_CODE;
      const at = (CODE_MASK >>> 2) + page * 2;
      this.u32[at] = 0;
      this.u32[at + 1] = 0;
    }
    this.codePages.clear();
    this.next = TB_ARENA;
    this.liveBlocks = 0;
    this.counters.arenaFlushes++;
  }

  /** True when the block has not been invalidated. */
  isValid(tb: number): boolean {
    return (this.u32[(tb + TB_FLAGS) >>> 2]! & TB_INVALID) === 0;
  }
}
