// That a channel looks different now: told by whoever learns of it, the socket or a page of ours, to whoever shows channels.

type Hears = (channel: string) => void;

const hearers = new Set<Hears>();

/** Tell that *channel*, an id, is to be asked about again. */
export function notify(channel: string): void {
  for (const hears of hearers) hears(channel);
}

/** Let *hears* be called at all news from now on; returns what ends that. */
export function onNews(hears: Hears): () => void {
  hearers.add(hears);
  return () => {
    hearers.delete(hears);
  };
}
