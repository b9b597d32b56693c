/** A picture as devices draw it and front ends (screen dumps, VNC) read it. */

/** Changed part of a surface, in pixels. */
export interface DirtyRect {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Pixels are 0x00RRGGBB, row after row without gaps. */
export class DisplaySurface {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint32Array;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint32Array(width * height);
  }
}

/** What a display device offers. All calls come on the machine thread. */
export interface DisplayDevice {
  /**
   * Draws what changed since the last call and says where; undefined: nothing. The surface is a new object when its size
   * has changed, and all of it is dirty then.
   */
  update(): DirtyRect | undefined;
  readonly surface: DisplaySurface;
  /** In text modes the characters, one line a row without trailing blanks; undefined in graphics modes. */
  text(): string[] | undefined;
}

/** The smallest rectangle around both; either may be missing. */
export function unite(a: DirtyRect | undefined, b: DirtyRect | undefined): DirtyRect | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  const right = Math.max(a.x + a.width, b.x + b.width);
  const bottom = Math.max(a.y + a.height, b.y + b.height);
  return { x, y, width: right - x, height: bottom - y };
}

/** Copies `row` (x from 0) to line `y` where it differs and gives what differed. */
export function putRow(surface: DisplaySurface, y: number, row: Uint32Array): DirtyRect | undefined {
  const at = y * surface.width;
  const { pixels, width } = surface;
  let first = 0;
  while (first < width && pixels[at + first] === row[first]) first++;
  if (first === width) return undefined;
  let last = width - 1;
  while (pixels[at + last] === row[last]) last--;
  pixels.set(row.subarray(first, last + 1), at + first);
  return { x: first, y, width: last - first + 1, height: 1 };
}
