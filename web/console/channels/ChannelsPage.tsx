import { useEffect, useRef, useState } from "preact/hooks";
import { useReading } from "../views/reading";
import { ChannelList } from "./ChannelList";
import { ChannelPage } from "./ChannelPage";
import { ConnectPage } from "./ConnectPage";
import { onNews } from "./news";
import { type Channel, channels, type Line, lines } from "./rest";
import "./channels.css";

const EVERY_MS = 30_000;

/** What there is, for every page of channels. */
export interface House {
  channels: Channel[];
  lines: Line[];
}

interface PageProps {
  /** See ChannelsRoute. */
  at: string;
  onLoggedOut: () => void;
}

/** The channels of the house; one of them; or a new one. */
export function ChannelsPage({ at, onLoggedOut }: PageProps) {
  const [house, renew] = useReading(readHouse, EVERY_MS, onLoggedOut);
  /** The one that was connected last. */
  const [fresh, setFresh] = useState("");
  useEffect(() => onNews(renew), []);
  /** Back in the list, the focus stands on the row from which one has gone. */
  const left = useRef("");
  const from = left.current;
  useEffect(() => {
    left.current = at;
  }, [at]);

  if (at === "") return <ChannelList house={house} from={from} onRetry={renew} />;
  const [first, kind = ""] = at.split("/");
  // Another one begins anew: nothing of what was written for the one before stands in its fields.
  if (first === "new") return <ConnectPage key={at} kind={kind} house={house} onRetry={renew} onConnected={setFresh} />;
  return <ChannelPage key={at} id={at} lines={house.value?.lines ?? []} fresh={fresh === at} onLoggedOut={onLoggedOut} />;
}

async function readHouse(): Promise<House> {
  const [all, there] = await Promise.all([channels(), lines()]);
  return { channels: all, lines: there };
}
