import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDeviceOption } from './device-spec.ts';
import { deviceListText, devicePropertiesText, deviceTypes, findDeviceType } from './device-types.ts';

test('-device: names, aliases, typed properties, JSON', () => {
  const spec = parseDeviceOption('virtio-rng,id=r0,addr=5.1,max-bytes=0x10,period=1000,multifunction=on');
  assert.equal(spec.driver, 'virtio-rng-pci');
  assert.equal(spec.id, 'r0');
  assert.deepEqual(spec.properties, { addr: 0x29, 'max-bytes': 16, period: 1000, multifunction: true });
  const json = parseDeviceOption('{"driver":"edu","id":"e","addr":"0x1f","dma_mask":"0xffffffffffffffff"}');
  assert.equal(json.properties['addr'], 0xf8);
  assert.equal(
    parseDeviceOption('virtio-blk-pci,drive=d,logical_block_size=4k').properties['logical_block_size'],
    4096,
  );
});

test('-device: mistakes are one clear line', () => {
  const refuse = (text: string, reason: RegExp): void => assert.throws(() => parseDeviceOption(text), reason);
  refuse('nonsense', /-device nonsense: 'nonsense' is not a valid device model name/);
  refuse('edu,foo=1', /Property 'edu.foo' not found/);
  refuse('edu,id=1x', /'id' expects an identifier/);
  refuse('edu,addr=40', /'edu.addr' doesn't take value '40'/);
  refuse('virtio-rng-pci,period=many', /doesn't take value 'many'/);
  refuse('virtio-blk-pci,event_idx=maybe', /on or off/);
  refuse('{"driver":', /JSON/);
});

test('-global applies to a type and its ancestors, -device wins', () => {
  const globals = [
    { driver: 'virtio-pci', property: 'disable-legacy', value: 'on' },
    { driver: 'virtio-rng-pci', property: 'period', value: '5' },
    { driver: 'edu', property: 'dma_mask', value: '1' },
  ];
  const { properties } = parseDeviceOption('virtio-rng-pci,period=9', globals);
  assert.deepEqual(properties, { 'disable-legacy': 'on', period: 9 });
});

test('help texts name every type and property', () => {
  const list = deviceListText();
  for (const type of deviceTypes()) {
    assert.ok(list.includes(`name "${type.name}"`));
    const text = devicePropertiesText(type);
    for (const { name } of type.properties) assert.ok(text.includes(`  ${name}=<`), `${type.name}.${name}`);
  }
  assert.equal(findDeviceType('virtio-blk')?.name, 'virtio-blk-pci');
});
