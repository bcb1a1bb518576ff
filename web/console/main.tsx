import { render } from "preact";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/list.css";
import "./styles/thread.css";
import "./styles/files.css";
import "./styles/contact.css";
import "./styles/leads.css";
import "./styles/verbs.css";
import "./styles/board.css";
import "./styles/call.css";
import { App } from "./views/App";

const place = document.getElementById("app");
if (place !== null) render(<App />, place);
