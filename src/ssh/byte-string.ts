/** Text for a remote shell: each character is one byte, so that file names of any encoding go through. */
export type ByteString = string

export const toByteString = (text: string): ByteString => Buffer.from(text, 'utf8').toString('latin1')

/** How a byte string reads for people. */
export const fromByteString = (bytes: ByteString): string => Buffer.from(bytes, 'latin1').toString('utf8')
