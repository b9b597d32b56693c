/**
 * The tree of regions that describes a guest address space: RAM, ROM, MMIO, aliases of parts of other regions, and
 * containers. Addresses and sizes are JS numbers (bytes, exact to 2^53).
 */
import { assert } from '../util/errors.ts';

/** Sizes in bytes of one access to a device. */
export type AccessSize = 1 | 2 | 4;

/**
 * What a device offers to the bus. `offset` counts from the start of its region; a device never knows its base address.
 * Values are unsigned and fit `size` bytes.
 */
export interface MmioDevice {
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
}

export interface SizeRange {
  readonly min: AccessSize;
  readonly max: AccessSize;
}

export interface MmioOptions {
  /** Accesses of other sizes are treated like unassigned memory. Default: 1 to 4; 8 bytes arrive as two of 4. */
  readonly valid?: SizeRange;
  /** What the device implements: larger accesses are split low part first, smaller ones widened. Default: 1 to 4. */
  readonly impl?: SizeRange;
  /** The device takes accesses that are not a multiple of their size. Default: they are split into aligned ones. */
  readonly unaligned?: boolean;
}

export type RegionKind = 'container' | 'ram' | 'rom' | 'mmio' | 'alias';

interface Placement {
  readonly region: MemoryRegion;
  readonly offset: number;
  readonly priority: number;
}

const ANY_SIZE: SizeRange = { min: 1, max: 4 };

/** Called when a tree changed in a way that can change what its root looks like. */
export interface RegionObserver {
  onRegionChanged(): void;
}

export class MemoryRegion {
  readonly name: string;
  readonly size: number;
  readonly kind: RegionKind;
  /** RAM and ROM: where the region starts in the RAM buffer. -1 for others. */
  readonly ramOffset: number;
  /** MMIO; of ROM, what hears of writes. */
  readonly device: MmioDevice | undefined;
  readonly valid: SizeRange;
  readonly impl: SizeRange;
  readonly unaligned: boolean;
  /** Alias only: the region shown, and where in it the alias begins. */
  readonly aliasTarget: MemoryRegion | undefined;
  readonly aliasOffset: number;

  #enabled = true;
  #readOnly: boolean;
  #children: readonly Placement[] = [];
  #container: MemoryRegion | undefined;
  readonly #observers = new Set<RegionObserver>();
  readonly #follower: RegionObserver = { onRegionChanged: () => this.#changed() };

  private constructor(
    kind: RegionKind,
    name: string,
    size: number,
    more: {
      ramOffset?: number;
      device?: MmioDevice;
      mmio?: MmioOptions;
      target?: MemoryRegion;
      offset?: number;
    } = {},
  ) {
    assert(Number.isSafeInteger(size) && size > 0, `region ${name}: bad size ${size}`);
    this.kind = kind;
    this.name = name;
    this.size = size;
    this.ramOffset = more.ramOffset ?? -1;
    this.device = more.device;
    this.valid = more.mmio?.valid ?? ANY_SIZE;
    this.impl = more.mmio?.impl ?? ANY_SIZE;
    this.unaligned = more.mmio?.unaligned ?? false;
    this.aliasTarget = more.target;
    this.aliasOffset = more.offset ?? 0;
    this.#readOnly = kind === 'rom';
    more.target?.addObserver(this.#follower);
  }

  /** Holds other regions and answers nothing itself. */
  static container(name: string, size: number): MemoryRegion {
    return new MemoryRegion('container', name, size);
  }

  /** `size` bytes of the RAM buffer from `ramOffset`. */
  static ram(name: string, size: number, ramOffset: number): MemoryRegion {
    return new MemoryRegion('ram', name, size, { ramOffset });
  }

  /** Like RAM, but the guest's writes are ignored. Loaders write the buffer itself. */
  static rom(name: string, size: number, ramOffset: number): MemoryRegion {
    return new MemoryRegion('rom', name, size, { ramOffset });
  }

  /** ROM that tells `device` of writes: flash memory. */
  static romDevice(
    name: string,
    size: number,
    ramOffset: number,
    device: Pick<MmioDevice, 'write'>,
  ): MemoryRegion {
    return new MemoryRegion('rom', name, size, {
      ramOffset,
      device: { read: () => 0, write: (offset, bytes, value) => device.write(offset, bytes, value) },
    });
  }

  static mmio(name: string, size: number, device: MmioDevice, options: MmioOptions = {}): MemoryRegion {
    return new MemoryRegion('mmio', name, size, { device, mmio: options });
  }

  /** Shows `size` bytes of `target` from `offset` at a second place. */
  static alias(name: string, target: MemoryRegion, offset: number, size: number): MemoryRegion {
    assert(offset >= 0 && offset + size <= target.size, `alias ${name} exceeds ${target.name}`);
    return new MemoryRegion('alias', name, size, { target, offset });
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** A disabled region, with all it contains, is transparent. */
  set enabled(value: boolean) {
    if (this.#enabled === value) return;
    this.#enabled = value;
    this.#changed();
  }

  get readOnly(): boolean {
    return this.#readOnly;
  }

  /** Makes RAM (or the RAM an alias shows) ignore writes: shadow RAM of a PC's BIOS area. */
  set readOnly(value: boolean) {
    if (this.#readOnly === value) return;
    this.#readOnly = value;
    this.#changed();
  }

  /** Children by falling priority; of equal ones, the latest added first. */
  get children(): readonly Placement[] {
    return this.#children;
  }

  get container(): MemoryRegion | undefined {
    return this.#container;
  }

  /** Places `region` at `offset`; where children overlap the higher priority shows. */
  add(offset: number, region: MemoryRegion, priority = 0): void {
    assert(region.#container === undefined, `region ${region.name} is already placed`);
    assert(Number.isSafeInteger(offset) && offset >= 0, `region ${region.name}: bad offset`);
    region.#container = this;
    const at = this.#children.findIndex((child) => child.priority <= priority);
    const list = [...this.#children];
    list.splice(at < 0 ? list.length : at, 0, { region, offset, priority });
    this.#children = list;
    this.#changed();
  }

  remove(region: MemoryRegion): void {
    assert(region.#container === this, `region ${region.name} is not in ${this.name}`);
    region.#container = undefined;
    this.#children = this.#children.filter((child) => child.region !== region);
    this.#changed();
  }

  /** Moves a child to another offset (a PCI BAR, say), keeping its priority. */
  move(region: MemoryRegion, offset: number): void {
    const old = this.#children.find((child) => child.region === region);
    assert(old !== undefined, `region ${region.name} is not in ${this.name}`);
    if (old.offset === offset) return;
    this.#children = this.#children.map((child) => (child === old ? { ...child, offset } : child));
    this.#changed();
  }

  /** An alias that is shown nowhere any more lets go of its target. */
  release(): void {
    this.aliasTarget?.removeObserver(this.#follower);
  }

  addObserver(observer: RegionObserver): void {
    this.#observers.add(observer);
  }

  removeObserver(observer: RegionObserver): void {
    this.#observers.delete(observer);
  }

  #changed(): void {
    for (const observer of this.#observers) observer.onRegionChanged();
    if (this.#container !== undefined) this.#container.#changed();
  }
}
