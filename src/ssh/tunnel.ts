import type { Socket } from 'node:net'
import type { ClientChannel } from 'ssh2'
import { Agent, buildConnector, type Dispatcher } from 'undici'
import type { Outlook } from './steady-connection.ts'

/**
 * An HTTP dispatcher whose connections are opened by the server at the other end of an SSH connection: names are
 * resolved there and loopback means that server. TLS is checked here, end to end.
 */
export function tunnelDispatcher(
  connection: Pick<Outlook, 'openTcp'>,
  tls: { ca?: string } = {},
): Dispatcher {
  const secure = buildConnector({ ...tls })
  return new Agent({
    connect: (options, done) => {
      const https = options.protocol === 'https:'
      const port = options.port === '' ? (https ? 443 : 80) : Number(options.port)
      connection.openTcp(options.hostname.replace(/^\[|\]$/g, ''), port).then(
        (channel) => {
          // undici asks nothing of a plain connection but to be a duplex stream.
          const socket = closing(channel) as unknown as Socket
          if (https) secure({ ...options, httpSocket: socket } as buildConnector.Options, done)
          else done(null, socket)
        },
        (error: Error) => done(error, null),
      )
    },
  })
}

/**
 * A channel that tells its end when it is destroyed, as a socket does. ssh2's tells it once all that came has been read;
 * undici reads no further after an answer with `Connection: close`, and would wait for ever.
 */
function closing(channel: ClientChannel): ClientChannel {
  const destroy = channel.destroy.bind(channel)
  const drop = () => {
    while (channel.read() !== null);
  }
  channel.destroy = () => {
    channel.on('readable', drop)
    drop()
    return destroy()
  }
  return channel
}
