/** Finding translated blocks: a hash table by physical identity (host address of the code), RIP and key. */
import {
  SLOT_KEY, SLOT_RESTORE, SLOT_RIP, TB_FLAGS, TB_HASH, TB_HASH_BITS, TB_HASH_ENTRIES, TB_HASH_NEXT, TB_HOST_PC, TB_HOST_PC2,
  TB_INVALID, TB_KEY, TB_RIP,
} from './layout';
import { jcInsert, linearOf } from './jump-cache';
import { codePageGlobal, code_host_address, code_host_probe } from '../softmmu/fetch';

// @ts-ignore: decorator
@external("env", "cpu_base")
declare const CPU: i32;

// @ts-ignore: decorator
@inline
function bucketOf(hostPc: u32, rip: u64, key: u64): usize {
  const mixed = (hostPc ^ <u32>rip ^ (<u32>key << 7)) * 0x9e3779b1;
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
  const linear = linearOf(rip, key);
  let tb: usize = load<u32>(bucketOf(host, rip, key));
  while (tb != 0) {
    if (
      load<u32>(tb, TB_HOST_PC) == <u32>host && load<u64>(tb, TB_RIP) == rip && load<u64>(tb, TB_KEY) == key &&
      (load<u32>(tb, TB_FLAGS) & TB_INVALID) == 0 && secondPageMatches(tb, linear)
    ) {
      jc_insert(<i32>tb);
      return <i32>tb;
    }
    tb = load<u32>(tb, TB_HASH_NEXT);
  }
  return 0;
}
