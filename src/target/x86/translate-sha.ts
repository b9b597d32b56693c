import { HELPER } from './helpers.ts';
import type { Handler, Translator } from './translator.ts';
import { callOffsets, source } from './vector-operands.ts';

function sha(op: number): Handler {
  return (t) => {
    if (t.sseUnavailable()) return;
    const s = source(t, 1);
    callOffsets(t, HELPER.sha, op, t.xmmReg, s);
  };
}

export const shaHandlers = {
  sha1nexte: sha(0),
  sha1msg1: sha(1),
  sha1msg2: sha(2),
  sha256rnds2: sha(3),
  sha256msg1: sha(4),
  sha256msg2: sha(5),
  sha1rnds4: (t: Translator) => sha(8 | (t.immLo & 3))(t),
};
