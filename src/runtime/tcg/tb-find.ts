/** Finding translated blocks: a hash table by physical identity (host address of the code), RIP and key. */
import {
  SLOT_FAULT, SLOT_KEY, SLOT_RESTORE, SLOT_RIP, TB_FLAGS, TB_HASH, TB_HASH_BITS, TB_HASH_ENTRIES, TB_HASH_NEXT, TB_HOST_PC, TB_HOST_PC2,
  TB_INVALID, TB_KEY, TB_RIP, TB_SIZE,
} from './layout';
import { jcInsert, linearOf } from './jump-cache';
import { codePageGlobal, codeRoom, code_host_address, code_host_probe } from '../softmmu/fetch';
import { raiseGp } from '../x86/raise';
import { ld_slow, st_slow } from '../softmmu/slow';

/** Longest instruction. */
const INSN_MAX: i32 = 15;

// @ts-ignore: decorator
@external("env", "cpu_base")
declare const CPU: i32;

// @ts-ignore: decorator
@inline
function bucketOf(hostPc: u32, rip: u64, key: u64): usize {
  // the low 12 bits of address and RIP are equal: only one of them counts
  const mixed = (hostPc + <u32>(rip >> 12) * 0x85ebca6b + <u32>key * 0xc2b2ae35) * 0x9e3779b1;
  return <usize>TB_HASH + (<usize>(mixed >> (32 - TB_HASH_BITS)) << 2);
}

// @ts-ignore: decorator
@inline
function bucketOfTb(tb: usize): usize {
  return bucketOf(load<u32>(tb, TB_HOST_PC), load<u64>(tb, TB_RIP), load<u64>(tb, TB_KEY));
}

export function tb_hash_clear(): void {
  memory.fill(TB_HASH, 0, TB_HASH_ENTRIES << 2);
}

export function tb_hash_insert(tb: i32): void {
  const bucket = bucketOfTb(tb);
  store<u32>(tb, load<u32>(bucket), TB_HASH_NEXT);
  store<u32>(bucket, tb);
}

export function tb_hash_remove(tb: i32): void {
  let link = bucketOfTb(tb);
  for (let at = load<u32>(link); at != 0; at = load<u32>(link)) {
    if (at == <u32>tb) {
      store<u32>(link, load<u32>(at, TB_HASH_NEXT));
      return;
    }
    link = <usize>at + TB_HASH_NEXT;
  }
}

/** The second page of a block that crosses into it is mapped as it was at translation. */
function secondPageMatches(tb: usize, linear: u64): bool {
  const expected = load<u32>(tb, TB_HOST_PC2);
  if (expected == 0) return true;
  return <u32>code_host_probe((linear & ~0xfff) + 0x1000) == expected;
}

/** Enters a block into the jump cache under the current mapping of its pages. */
export function jc_insert(tb: i32): void {
  const linear = linearOf(load<u64>(tb, TB_RIP), load<u64>(tb, TB_KEY));
  let global = codePageGlobal(linear);
  if (global && load<u32>(tb, TB_HOST_PC2) != 0) global = codePageGlobal((linear & ~0xfff) + 0x1000);
  jcInsert(tb, global);
}

function lookUp(host: u32, rip: u64, key: u64, linear: u64): usize {
  const room = codeRoom(rip);
  let tb: usize = load<u32>(bucketOf(host, rip, key));
  while (tb != 0) {
    if (
      load<u32>(tb, TB_HOST_PC) == host && load<u64>(tb, TB_RIP) == rip && load<u64>(tb, TB_KEY) == key &&
      (load<u32>(tb, TB_FLAGS) & TB_INVALID) == 0 && <i32>load<u16>(tb, TB_SIZE) <= room && secondPageMatches(tb, linear)
    ) return tb;
    tb = load<u32>(tb, TB_HASH_NEXT);
  }
  return 0;
}

/**
 * The valid block at the RIP and KEY slots, entered into the jump cache; 0 if there is none (translate one), if the fetch faults
 * (FAULT is set) or if the code is not in RAM.
 */
export function tb_find(): i32 {
  const rip = load<u64>(CPU, SLOT_RIP);
  const key = load<u64>(CPU, SLOT_KEY);
  store<u64>(CPU, 0, SLOT_RESTORE); // a fetch fault comes at a block boundary: the flags are as the slots say
  const host = code_host_address(rip);
  if (host == 0 || host == -1) return 0;
  const tb = lookUp(host, rip, key, linearOf(rip, key));
  if (tb != 0) jc_insert(<i32>tb);
  return <i32>tb;
}

/** Host address of the code at the RIP slot, 0 with FAULT set, or -1 where it is not RAM. */
export function tb_code_address(): i32 {
  store<u64>(CPU, 0, SLOT_RESTORE);
  return code_host_address(load<i64>(CPU, SLOT_RIP));
}

/** Host address of the page behind the one RIP points into, 0 if it cannot be fetched from. */
export function tb_next_page(): i32 {
  const linear = linearOf(load<u64>(CPU, SLOT_RIP), load<u64>(CPU, SLOT_KEY));
  return code_host_probe((linear & ~0xfff) + 0x1000);
}

/** Bytes from RIP to the end of the code segment. */
export function tb_code_room(): i32 {
  return codeRoom(load<u64>(CPU, SLOT_RIP));
}

/**
 * Raises the fault of an instruction that begins at RIP and cannot be fetched whole: #GP(0) at the end of the code segment, else that of
 * the following page. Returns as tb_code_address.
 */
export function tb_fault_next_page(): i32 {
  const rip = load<u64>(CPU, SLOT_RIP);
  const inPage = <i32>(0x1000 - (linearOf(rip, load<u64>(CPU, SLOT_KEY)) & 0xfff));
  store<u64>(CPU, 0, SLOT_RESTORE);
  const room = codeRoom(rip);
  const host = room <= inPage ? 0 : code_host_address(rip + inPage);
  if (host == -1 && room >= INSN_MAX) return -1;
  if (host != 0 || room <= inPage) raiseGp(0);
  return 0;
}

/** The block at another RIP under the KEY slot, without entering it into the jump cache; 0 if there is none. */
export function tb_peek(ripLo: i32, ripHi: i32): i32 {
  const rip = <u64>(<u32>ripLo) | (<u64>(<u32>ripHi) << 32);
  const key = load<u64>(CPU, SLOT_KEY);
  const linear = linearOf(rip, key);
  const host = code_host_probe(linear);
  return host == 0 ? 0 : <i32>lookUp(host, rip, key, linear);
}

// Slow paths as regions call them: they note where the access stands, so that a fault is precise.

/** Zero-extended value; FAULT is set if the access faulted. sizeInfo as for ld_slow. */
export function region_load(va: i64, sizeInfo: i32, rip: i64, restore: i32): i64 {
  store<i64>(CPU, rip, SLOT_RIP);
  store<u64>(CPU, <u64>(<u32>restore), SLOT_RESTORE);
  return ld_slow(va, sizeInfo);
}

/** Returns FAULT. */
export function region_store(va: i64, value: i64, sizeInfo: i32, rip: i64, restore: i32): i32 {
  store<i64>(CPU, rip, SLOT_RIP);
  store<u64>(CPU, <u64>(<u32>restore), SLOT_RESTORE);
  st_slow(va, value, sizeInfo);
  return load<i32>(CPU, SLOT_FAULT);
}
