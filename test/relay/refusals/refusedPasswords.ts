import { frontend } from '../../support/wire.js';
import { message, type Named } from './refusedMessages.js';

/** What no correct client answers when it is asked for its password, whatever the method. */
export const refusedPasswords: Named<Buffer> = [
  ...[0, 3, -1, 0x7fffffff, 0x10000].map(
    (length) => [`a length of ${length}`, message('p', '', length)] as const,
  ),
  ['nothing', message('p')],
  ['a password of 2,000 bytes', message('p', `${'x'.repeat(1999)}\0`)],
  ['an empty password', message('p', '\0')],
  ['a password without an end', message('p', 'secret')],
  ['a password with more behind its end', message('p', 'secret\0more\0')],
  ['two ends', message('p', 'secret\0\0')],
  ['a Query', frontend.query('SELECT 1')],
  ['a Sync', frontend.sync()],
  ['a Terminate', frontend.terminate()],
  ['a Terminate of length 3', message('X', '', 3)],
  ['an unknown type', message('z')],
  ['the first byte of an unknown type', Buffer.from('z')],
  ['a type of the backend', message('R', '\0\0\0\0')],
  ['a part of a header', Buffer.from('p\0\0')],
  ['a part of a password', message('p', 'sec', 20)],
];

const sasl = (mechanism: string, length: string, data = ''): Buffer =>
  message('p', `${mechanism}\0${length}${data}`);
const first = (data: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeInt32BE(data.length);
  return sasl('SCRAM-SHA-256', length.toString('latin1'), data);
};

/** In SCRAM a server has an answer to what is cut, too, when the client has gone. */
const whole = refusedPasswords.filter(([name]) => !name.startsWith('a part of'));

/** What no correct client begins SCRAM with. */
export const refusedFirst: Named<Buffer> = [
  ...whole,
  ['a mechanism that is none', sasl('SCRAM-X', '\xff\xff\xff\xff')],
  ['a mechanism without an end', message('p', 'SCRAM-SHA-256')],
  ['a mechanism alone', message('p', 'SCRAM-SHA-256\0')],
  ['data that is cut', sasl('SCRAM-SHA-256', '\0\0\0\x20', 'n,,n=,r=x')],
  ['data with more behind it', sasl('SCRAM-SHA-256', '\0\0\0\x02', 'n,,n=,r=x')],
  ['data of length -2', sasl('SCRAM-SHA-256', '\xff\xff\xff\xfe')],
  ['a message of 1,100 bytes', first(`n,,n=,r=${'x'.repeat(1100)}`)],
  ...[
    '',
    'x',
    'n,,',
    'n,,n=',
    'n,,n=,',
    'n,,n=,r=',
    'n,a=other,n=,r=x',
    'y,,n=,r=x',
    'p=tls-unique,,n=,r=x',
    'n,,m=x,n=,r=x',
    'n,,n=,r=\xe4',
    'n,,n=,r=x\0y',
  ].map((data) => [`"${data}"`, first(data)] as const),
];

export const FIRST = first('n,,n=,r=abcdefgh');

/** What no correct client ends SCRAM with. */
export const refusedFinal: Named<Buffer> = [
  ...whole,
  ['a message of 1,100 bytes', message('p', 'x'.repeat(1100))],
  ...[
    'x',
    'c=',
    'c=biws',
    'c=eSws,r=x,p=x',
    'c=biws,r=x,p=AAAA',
    'c=biws,r=x,p=****',
    'c=biws,r=x',
    '\0',
    'c=biws\0,r=x',
  ].map((data) => [`"${data}"`, message('p', data)] as const),
];
