/** Which QEMU the control protocol answers like. */
import type { JsonObject } from './json.ts';

/** `version`: "Lyrebird version 0.1.0". Management software decides by the triple what it may use. */
export function versionInfo(version: string): JsonObject {
  return { qemu: { micro: 0, minor: 2, major: 7 }, package: version.replace(' version', '') };
}
