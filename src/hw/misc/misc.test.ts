import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CharBackend, CharFrontend } from '../../core/char-backend.ts';
import { IrqLine } from '../../core/irq.ts';
import { testStateRoundTrip } from '../../core/vmstate-roundtrip.cases.ts';
import { testHostileInput } from '../hostile.cases.ts';
import { recordingPower } from '../power.cases.ts';
import { DebugExit } from './debug-exit.ts';
import { DebugCon } from './debugcon.ts';
import { Port92 } from './port92.ts';
import { PostPort } from './post-port.ts';

class Sink implements CharBackend {
  readonly taken: number[] = [];
  blocked = false;
  write(byte: number): boolean {
    if (!this.blocked) this.taken.push(byte);
    return !this.blocked;
  }
  connect(_frontend: CharFrontend): void {}
}

test('debug console: answers 0xe9 and loses nothing', () => {
  const sink = new Sink();
  const con = new DebugCon(sink);
  assert.equal(con.read(0, 1), 0xe9);
  con.write(0, 1, 65);
  sink.blocked = true;
  con.write(0, 1, 66);
  con.write(0, 1, 67);
  sink.blocked = false;
  con.onWritable();
  assert.deepEqual(sink.taken, [65, 66, 67]);
  assert.equal(con.canReceive(), 0);
});

test('debug exit: status is odd', () => {
  const power = recordingPower();
  const exit = new DebugExit(power);
  exit.write(0, 4, 0x10);
  exit.write(0, 1, 0);
  assert.deepEqual(power.log, ['exit 33', 'exit 1']);
});

test('port 92: A20 and fast reset on the edge', () => {
  const power = recordingPower();
  const a20 = IrqLine.unconnected();
  const port = new Port92(a20, power);
  port.reset();
  assert.ok(a20.level);
  port.write(0, 1, 0);
  assert.ok(!a20.level);
  port.write(0, 1, 3);
  port.write(0, 1, 3);
  assert.deepEqual(power.log, ['reset guest-reset']);
  port.setA20(false);
  assert.equal(port.read(0, 1), 1);
});

test('port 80 keeps the last code', () => {
  const port = new PostPort();
  port.write(0, 1, 0x5a);
  assert.equal(port.read(0, 1), 0x5a);
  port.reset();
  assert.equal(port.code, 0);
});

const power = recordingPower();
testStateRoundTrip('debugcon', () => new DebugCon(new Sink()));
testStateRoundTrip('debug-exit', () => new DebugExit(power));
testStateRoundTrip('port92', () => new Port92(IrqLine.unconnected(), power));
testStateRoundTrip('post-port', () => new PostPort());
testHostileInput('port92', () => ({ device: new Port92(IrqLine.unconnected(), recordingPower()), size: 1 }));
testHostileInput('debugcon', () => ({ device: new DebugCon(new Sink()), size: 1 }));
