import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DriveOptions } from './drive-options.ts';

const parse = (...texts: string[]) => {
  const options = new DriveOptions();
  for (const text of texts) options.addDrive(text);
  return options.finish().drives;
};

test('places: the next free one, by index, by bus and unit', () => {
  const drives = parse('file=a', 'file=b', 'file=c,index=3', 'file=d,media=cdrom', 'file=e,if=floppy');
  assert.deepEqual(
    drives.map(({ id, bus, unit }) => [id, bus, unit]),
    [
      ['ide0-hd0', 0, 0],
      ['ide0-hd1', 0, 1],
      ['ide1-hd1', 1, 1],
      ['ide1-cd0', 1, 0],
      ['floppy0', 0, 0],
    ],
  );
  assert.equal(drives[3]!.isReadOnly, true);
});

test('clashes and nonsense are refused', () => {
  assert.throws(() => parse('file=a,index=0', 'file=b,index=0'), /drive with bus=0,unit=0 exists/);
  assert.throws(() => parse('file=a,id=x', 'file=b,id=x'), /the id is taken/);
  assert.throws(() => parse('file=a,unit=2'), /too big/);
  assert.throws(() => parse('file=a,if=warp'), /not one of/);
  assert.throws(() => parse('file=a,cache=maybe'), /invalid cache option/);
  assert.throws(() => parse('file=a,index=0,unit=1'), /index cannot be used/);
});

test('what is not of the drive describes the node', () => {
  const [drive] = parse(
    'file=a.qcow2,format=qcow2,if=none,id=d,cache=none,discard=unmap,file.locking=off,throttling.bps-total=1M,iops=10,werror=stop',
  );
  assert.deepEqual(drive!.node, {
    driver: 'qcow2',
    filename: 'a.qcow2',
    discard: 'unmap',
    cache: { direct: true },
    throttling: { 'bps-total': '1M', 'iops-total': '10' },
    file: { locking: 'off' },
  });
  assert.equal(drive!.writeError, 'stop');
});

test('-blockdev takes dotted keys and JSON', () => {
  const options = new DriveOptions();
  options.addBlockdev('driver=qcow2,node-name=a,file.driver=file,file.filename=x,,y');
  options.addBlockdev('{"driver":"raw","node-name":"b","file":{"driver":"file","filename":"z"}}');
  const { blockdevs } = options.finish();
  assert.deepEqual(blockdevs[0]!.node, {
    driver: 'qcow2',
    'node-name': 'a',
    file: { driver: 'file', filename: 'x,y' },
  });
  assert.deepEqual(blockdevs[1]!.node['file'], { driver: 'file', filename: 'z' });
  assert.throws(() => options.addBlockdev('driver=raw'), /node-name/);
});
