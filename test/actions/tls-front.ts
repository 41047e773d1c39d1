// A TLS front for a plain server, with a certificate that no public authority knows.
import { connect } from 'node:net'
import { createServer } from 'node:tls'

/** Signed by itself, for 127.0.0.1, until 2126. Good for nothing but these tests. */
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQO4JYVCE9PnCjP5O
QkRJQvZDZ5h4zEw4ihB8ZkW8gLqhRANCAASNCGdFtYCpnRvAAK/3gmURKo/a0iVH
OyOvEJp2tGrrNHNzitRUfQQeDlQ97/gtUu9LHx9sompeIHHf3w5jbXjR
-----END PRIVATE KEY-----
`
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUCgAwIBAgIUWYdpeWewPMWAX4bFFetjsmyrSzEwCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOdGVzdCBhdXRob3JpdHkwIBcNMjYxMTIxMTAyMTIzWhgPMjEy
NjEwMjgxMDIxMjNaMBkxFzAVBgNVBAMMDnRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEjQhnRbWAqZ0bwACv94JlESqP2tIlRzsjrxCadrRq
6zRzc4rUVH0EHg5UPe/4LVLvSx8fbKJqXiBx398OY2140aNkMGIwHQYDVR0OBBYE
FCRKvPF7Sih1c00Mrnli4ELF4ASZMB8GA1UdIwQYMBaAFCRKvPF7Sih1c00Mrnli
4ELF4ASZMA8GA1UdEwEB/wQFMAMBAf8wDwYDVR0RBAgwBocEfwAAATAKBggqhkjO
PQQDAgNJADBGAiEAj3MbKFW62yf//SnFgZp01sY0g4voOcyvMXncX+TS8AwCIQDe
CQ47AdYprrTRG0jJfiF5db969b+8TwL0zyCh4UF3dA==
-----END CERTIFICATE-----
`

export interface TlsFront {
  url: string
  stop(): void
}

/** Takes TLS on a free port of loopback and hands it on to `http://127.0.0.1:<port>`. */
export async function startTlsFront(behind: string): Promise<TlsFront> {
  const { hostname, port } = new URL(behind)
  const server = createServer({ key, cert: certificate }, (socket) => {
    const inner = connect({ host: hostname, port: Number(port) })
    socket.on('error', () => inner.destroy())
    inner.on('error', () => socket.destroy())
    socket.pipe(inner).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  return { url: `https://127.0.0.1:${address.port}`, stop: () => server.close() }
}
