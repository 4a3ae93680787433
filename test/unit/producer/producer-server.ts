import type { Post } from "./post-desk.ts"

/** The server's side of one producer id, as the protocol's table has it. */
export class ProducerServer {
  /** The bodies that are stored. */
  readonly log: string[] = []
  epoch = -1
  lastSeq = -1
  /** Some servers send `Stream-Next-Offset` with duplicates. */
  offsetOnDuplicate = false

  /** What an earlier instance stored. */
  store(epoch: number, bodies: readonly string[]): void {
    this.epoch = epoch
    this.lastSeq = bodies.length - 1
    this.log.push(...bodies)
  }

  readonly respond = (post: Post): void => {
    if (post.method === "HEAD") {
      return post.respond(200, { "Stream-Next-Offset": `after-${this.log.length}` })
    }
    const epoch = Number(post.headers["Producer-Epoch"])
    const seq = Number(post.headers["Producer-Seq"])
    if (epoch < this.epoch) return post.fence(this.epoch)
    if (epoch > this.epoch && seq > 0) return post.respond(400)
    if (epoch === this.epoch && seq <= this.lastSeq) {
      return post.respond(204, {
        "Producer-Epoch": String(epoch),
        "Producer-Seq": String(this.lastSeq),
        ...(this.offsetOnDuplicate && { "Stream-Next-Offset": `after-${this.log.length}` }),
      })
    }
    if (epoch === this.epoch && seq > this.lastSeq + 1) return post.gap(this.lastSeq + 1)
    this.epoch = epoch
    this.lastSeq = seq
    this.log.push(post.body)
    post.accept()
  }
}
