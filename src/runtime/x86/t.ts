import * as core from '../softfloat/core';
export * from '../softfloat/binary';
export function env(rc: i32, masks: i32, wrap: i32, ftz: i32, daz: i32): void { core.rc = rc; core.masks = masks; core.wrap = wrap; core.ftz = ftz != 0; core.daz = daz != 0; }
export function takeFlags(): i32 { const f = core.flags; core.flags = 0; return f; }
