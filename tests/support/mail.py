"""A mail server on this machine, which keeps what it is sent, or refuses it."""

import socketserver
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """What has arrived, in order; with `refuses` no recipient is accepted."""

    port: int = 0
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])

    @property
    def apprise_url(self) -> str:
        addresses = "from=vibecheck@example.com&to=night@example.com"
        return f"mailto://127.0.0.1:{self.port}?{addresses}&mode=insecure"


@contextmanager
def running_mail_server() -> Generator[MailServer]:
    """A mail server on a free port, until the end of the block."""
    mail = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                match line[:4].upper():
                    case b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    case b"RCPT" if mail.refuses:
                        self.wfile.write(b"550 no such mailbox\r\n")
                    case b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        content = b""
                        while (line := self.rfile.readline()) != b".\r\n":
                            content += line.removeprefix(b".") if line.startswith(b"..") else line
                        mail.mails.append(message_from_bytes(content, policy=policy.default))
                        self.wfile.write(b"250 taken\r\n")
                    case _:
                        self.wfile.write(b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        mail.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield mail
        finally:
            server.shutdown()
            thread.join()
