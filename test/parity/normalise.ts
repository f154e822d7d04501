import { Message } from '../support/rawClient.js';

/**
 * What may differ between two conversations with the same server, in full: the process id and key of BackendKeyData, the
 * process id of NotificationResponse, and OIDs of the user's own objects in RowDescription. Nothing else.
 */
export function normalise(message: Message): Message {
  switch (message.type) {
    case 'K':
      return masked(message, 5, message.whole.length);
    case 'A':
      return masked(message, 5, 9);
    case 'T':
      return rowDescription(message);
    default:
      return message;
  }
}

function masked(message: Message, from: number, to: number): Message {
  const bytes = Buffer.from(message.whole);
  bytes.fill(0, from, to);
  return new Message(bytes);
}

/** The first OID that PostgreSQL gives to an object of a user's. */
const FIRST_USER_OID = 16_384;

function rowDescription(message: Message): Message {
  const bytes = Buffer.from(message.whole);
  const columns = bytes.readUInt16BE(5);
  let offset = 7;
  for (let column = 0; column < columns; column += 1) {
    offset = bytes.indexOf(0, offset) + 1;
    // The table's OID and, behind the column's number, the type's.
    for (const at of [offset, offset + 6])
      if (bytes.readUInt32BE(at) >= FIRST_USER_OID) bytes.writeUInt32BE(FIRST_USER_OID, at);
    offset += 18;
  }
  return new Message(bytes);
}
