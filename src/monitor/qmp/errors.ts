/** Errors of the control protocol (QMP specification 2.4.2). */
import { UserError } from '../../util/errors.ts';

export type ErrorClass =
  | 'GenericError'
  | 'CommandNotFound'
  | 'DeviceNotActive'
  | 'DeviceNotFound'
  | 'KVMMissingCap';

const CLASSES: ReadonlySet<string> = new Set([
  'CommandNotFound',
  'DeviceNotActive',
  'DeviceNotFound',
  'KVMMissingCap',
]);

/** The class that a user's mistake has for a peer: its code, if the protocol knows that. */
export function errorClass(error: UserError): ErrorClass {
  return CLASSES.has(error.code) ? (error.code as ErrorClass) : 'GenericError';
}

export function qmpError(message: string, kind: ErrorClass = 'GenericError'): UserError {
  return new UserError(kind, message);
}
