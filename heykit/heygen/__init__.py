"""The domain of the HeyGen AI API: a script becomes a video of an avatar that speaks it.

    async with connect(url) as database, file_store(root) as files, argon2() as passwords:
        await migrate(database, MIGRATIONS)
        bell = Bell()
        users = user_store(database, passwords)
        videos = video_store(database, files, bell)
        queue = render_queue(database, bell)
        async with render_worker(queue, storyboard_renderer(), files, bell):
            ada = await users.register("ada", "correct horse battery staple")
            video = await videos.create(ada, title="Hello", script="Hello, world.", avatar_id="amelia")
            async for step in watch_videos(database, bell)(video.id):
                print(step.status, step.progress)
            async with videos.content(ada, video.id) as content:
                ...  # content.media_type, content.size, content.chunks

- **Users** are `Permitted` and their store is a `UserStore`, as `heykit.security` asks.
- **Videos** belong to a user: somebody else's are NotFound. Lists come in pages with an opaque cursor.
- **The queue** is the table of videos. Jobs are leased: a killed process loses none, and closing a worker gives its
  jobs back at once. A job begun five times fails with a reason.
- **The renderer** is a Protocol. `storyboard_renderer` is built in: an animated SVG with captions, a preview. Another
  one gives the bytes of an `.mp4` in the same way.
- **A progress hub** serves one user session: its streams share one look at each video, and end with the session.
- **The bell** tells those in one process what changed, so that nothing waits for a poll; give everybody the same one.
  `shared_bell(redis)` is heard in every process.

Errors are `HeykitError` with a status: NotFound 404, Conflict and NotReady 409, Invalid 422 with its `field`.
"""

from __future__ import annotations

from heykit.heygen._avatar_store import Avatars, avatar_store
from heykit.heygen._shared_bell import shared_bell
from heykit.heygen.avatars import AVATARS, Avatar, Colours, Hair, avatar_by_id
from heykit.heygen.bell import Bell
from heykit.heygen.endings import ring_end, session_end
from heykit.heygen.errors import Conflict, Invalid, NotFound, NotReady, RenderFailed, TooManyStreams
from heykit.heygen.hub import ProgressHub, progress_hub
from heykit.heygen.pages import Page
from heykit.heygen.progress import Progress, Watch, watch_videos
from heykit.heygen.queue import RenderQueue, render_queue
from heykit.heygen.renderer import Renderer, RenderJob, Report
from heykit.heygen.schema import MIGRATIONS
from heykit.heygen.settings import Settings
from heykit.heygen.shared import Shared
from heykit.heygen.storyboard import storyboard_renderer
from heykit.heygen.users import ROLES, Owner, Profile, User, Users, user_store
from heykit.heygen.videos import Analytics, Content, Day, Status, Video, Videos, bytes_of_page, video_store
from heykit.heygen.worker import RenderWorker, render_worker

__all__ = [
    "AVATARS",
    "MIGRATIONS",
    "ROLES",
    "Analytics",
    "Avatar",
    "Avatars",
    "Bell",
    "Colours",
    "Conflict",
    "Content",
    "Day",
    "Hair",
    "Invalid",
    "NotFound",
    "NotReady",
    "Owner",
    "Page",
    "Profile",
    "Progress",
    "ProgressHub",
    "RenderFailed",
    "RenderJob",
    "RenderQueue",
    "RenderWorker",
    "Renderer",
    "Report",
    "Settings",
    "Shared",
    "Status",
    "TooManyStreams",
    "User",
    "Users",
    "Video",
    "Videos",
    "Watch",
    "avatar_by_id",
    "avatar_store",
    "bytes_of_page",
    "progress_hub",
    "render_queue",
    "render_worker",
    "ring_end",
    "session_end",
    "shared_bell",
    "storyboard_renderer",
    "user_store",
    "video_store",
    "watch_videos",
]
