const lanes = ['application', 'importer', 'dma-buf core', 'exporter'] as const
type Lane = (typeof lanes)[number]
const WIDTH = 26

/** The names of those who talk, above their lanes. */
export function drawHead(): void {
  const names = lanes.map((lane) => lane.padEnd(WIDTH))
  console.log(names.join('').trimEnd())
}

/** A line of the chart: from one lane to another an arrow with what is said. */
export function draw(from: Lane, to: Lane, said: string): void {
  const line = lanes.map(() => '|'.padEnd(WIDTH)).join('')
  const columns = [from, to].map((lane) => lanes.indexOf(lane) * WIDTH)
  const [left, right] = [Math.min(...columns) + 1, Math.max(...columns)]
  const space = right - left - 1
  const text = ` ${said} `.padStart((space + said.length) >> 1, '-').padEnd(space, '-')
  const arrow = columns[1] === right ? `${text}>` : `<${text}`
  console.log((line.slice(0, left) + arrow + line.slice(right)).trimEnd())
}
