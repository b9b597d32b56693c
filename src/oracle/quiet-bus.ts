import type { VcpuBus } from '../accel/accelerator.ts';

/** A board without devices: the code under test runs at privilege level 3 and reaches none. */
export class QuietBus implements VcpuBus {
  readMmio(): number {
    return 0xff;
  }
  writeMmio(): void {}
  readPort(): number {
    return 0xff;
  }
  writePort(): void {}
  acknowledgeInterrupt(): number {
    return -1;
  }
  readApicMsr(): undefined {
    return undefined;
  }
  writeApicMsr(): boolean {
    return false;
  }
  readTpr(): number {
    return 0;
  }
  writeTpr(): void {}
  readTsc(): number {
    return 12345;
  }
}
