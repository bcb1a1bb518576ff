"""The words of "Why me?" (operators.why), by language: for every code of the engine and the distribution a sentence. Pure.

Keys are `<group>.<code>`, most often narrowed by another: `seat.later.evenly` before `seat.later` before `seat`. Values in braces are
names and numbers, never times. Names stand in their first form in every language, so that they need not be declined.
"""

from __future__ import annotations

Text = str | tuple[str, ...]
"""A sentence, or one for each plural form of its language; see `plural`."""
WORDS: dict[str, dict[str, Text]] = {
    # --- people and numbers
    "former": {"en": "(former colleague)", "ru": "(бывший коллега)"},
    "nobody": {"en": "nobody", "ru": "никто"},
    "more": {"en": "{names} and {n} more", "ru": "{names} и ещё {n}"},
    "people": {"en": ("{n} person", "{n} people"), "ru": ("{n} человек", "{n} человека", "{n} человек")},
    "need.language": {"en": "language {what}", "ru": "язык {what}"},
    "need.skill": {"en": "skill “{what}”", "ru": "навык «{what}»"},
    # --- offered, by rule
    "offered.responsible": {
        "en": "Offered to {who}: the customer is theirs, so they are asked first.",
        "ru": "Диалог предложен: {who}. Это ответственный за клиента, поэтому его спрашивают первым.",
    },
    "offered.evenly": {
        "en": "Offered to {who}: of those who can take it, nobody has waited longer for their turn.",
        "ru": "Диалог предложен: {who}. Из тех, кто может его взять, никто не ждёт своей очереди дольше.",
    },
    "offered.strictly": {
        "en": "Offered to {who}: the first in the queue's order who can take it.",
        "ru": "Диалог предложен: {who}. По порядку очереди раньше всех, кто может его взять.",
    },
    "offered.all_at_once": {
        "en": "Offered at once to everybody who can take it, {people}: {who}. Whoever takes it first has it.",
        "ru": "Диалог предложен сразу всем, кто может его взять, {people}: {who}. Он достанется тому, кто возьмёт первым.",
    },
    "offered.least_loaded": {
        "en": "Offered to {who}: of those who can take it, nobody has less to do. Of their budget {percent}% was taken.",
        "ru": "Диалог предложен: {who}. Из тех, кто может его взять, ни у кого нет меньшей загрузки. Было занято {percent}%.",
    },
    "offered": {"en": "Offered to {who}.", "ru": "Диалог предложен: {who}."},
    "round": {"en": "Round {n} of {rounds}.", "ru": "Круг {n} из {rounds}."},
    "renewed": {
        "en": "The rounds began anew: somebody had come or had room again.",
        "ru": "Круги начались заново: кто-то появился или освободился.",
    },
    "from_before_opening": {"en": "It had waited for the opening.", "ru": "Диалог ждал открытия."},
    "relaxed": {
        "en": "Nobody who has what it asks for took it in time, so it may go to anybody.",
        "ru": "Никто с нужными навыками не взял диалог вовремя, поэтому он может достаться любому.",
    },
    # --- held, and what holds it now
    "held.round": {
        "en": "Everybody who could take it has been asked in round {n} of {rounds}. The next round begins later.",
        "ru": "Всех, кто мог бы взять диалог, уже спросили: круг {n} из {rounds}. Следующий круг начнётся позже.",
    },
    "held.left_out": {
        "en": "Only whoever has just had it could take it. They are asked again, but not at once.",
        "ru": "Взять диалог может только тот, у кого он только что был. Ему предложат снова, но не сразу.",
    },
    "held.rounds_over": {
        "en": (
            "Everybody who could take it has been asked, and the line asks {n} round only. It waits until somebody comes or has room.",
            "Everybody who could take it has been asked, in all {n} rounds. It waits until somebody comes or has room.",
        ),
        "ru": (
            "Всех, кто мог бы взять диалог, уже спросили: прошёл {n} круг. Он ждёт, пока кто-то появится или освободится.",
            "Всех, кто мог бы взять диалог, уже спросили: прошло {n} круга. Он ждёт, пока кто-то появится или освободится.",
            "Всех, кто мог бы взять диалог, уже спросили: прошло {n} кругов. Он ждёт, пока кто-то появится или освободится.",
        ),
    },
    "held.responsible": {
        "en": "Kept for {who}: the customer is theirs, and they are there but have no room just now. After that it is everybody's.",
        "ru": "Диалог ждёт ответственного за клиента: {who}. Сейчас там нет места. После этого его предложат всем.",
    },
    "held.skill": {
        "en": "Nobody who has room has what it asks for: {needs}. It waits for somebody who has.",
        "ru": "Ни у кого из свободных нет того, что нужно диалогу: {needs}. Он ждёт того, у кого это есть.",
    },
    "held.nobody": {
        "en": "There was nobody whom it could be offered.",
        "ru": "Предложить диалог было некому.",
    },
    "held.pace": {
        "en": "The line has opened, and what waited for it is given out one by one, so that nobody is swamped.",
        "ru": "Линия открылась, и то, что ждало открытия, раздаётся понемногу, чтобы никого не завалить.",
    },
    "held.promised": {
        "en": "The customer was promised a call then: nobody is asked before.",
        "ru": "На это время клиенту назначен звонок: раньше никого не спрашиваем.",
    },
    "held.greeting": {
        "en": "The caller hears the greeting or the menu: no phone rings before that is over.",
        "ru": "Клиент слушает приветствие или меню: до конца ни один телефон не звонит.",
    },
    "held.closed": {"en": "The line is closed. It waits for the opening.", "ru": "Линия закрыта. Диалог ждёт открытия."},
    "held.closed_for_good": {
        "en": "The line is closed, and its hours name no opening. It waits until they do.",
        "ru": "Линия закрыта, и в её часах работы нет открытия. Диалог ждёт, пока оно появится.",
    },
    "held": {"en": "Kept back.", "ru": "Диалог придержан."},
    "waits.nobody": {
        "en": "It waits: just now there is nobody whom it could be offered.",
        "ru": "Диалог ждёт: сейчас его некому предложить.",
    },
    "then_anybody": {
        "en": "When that time is over it may go to anybody, whatever they can.",
        "ru": "Когда это время выйдет, он может достаться любому, с любыми навыками.",
    },
    "customer_told": {"en": "The customer was told that everybody is busy.", "ru": "Клиенту сообщили, что все заняты."},
    "customer_told_opening": {"en": "The customer was told when it opens.", "ru": "Клиенту сообщили, когда она откроется."},
    "supervisors_told": {"en": "Supervisors were told.", "ru": "Супервизоры предупреждены."},
    # --- seats, by why
    "seat.chosen.responsible": {"en": "Chosen: the customer is theirs.", "ru": "Выбор: ответственный за клиента."},
    "seat.chosen.evenly": {
        "en": "Chosen: nobody has waited longer since their last offer (turn {turn}).",
        "ru": "Выбор: никто не ждёт дольше с последнего предложения (номер {turn}).",
    },
    "seat.chosen.evenly.never": {
        "en": "Chosen: nothing has been offered to them in this line before.",
        "ru": "Выбор: в этой линии предложений ещё не было.",
    },
    "seat.chosen.strictly": {
        "en": "Chosen: the first in the queue's order who can take it.",
        "ru": "Выбор: по порядку очереди раньше всех, кто может взять.",
    },
    "seat.chosen.all_at_once": {
        "en": "Chosen: everybody who can take it is.",
        "ru": "Выбор: спрашивают всех, кто может взять.",
    },
    "seat.chosen.least_loaded": {
        "en": "Chosen: nobody has less to do ({taken} of {budget} taken).",
        "ru": "Выбор: ни у кого нет меньшей загрузки (занято {taken} из {budget}).",
    },
    "seat.chosen": {"en": "Chosen.", "ru": "Выбор."},
    "seat.inactive": {"en": "Switched off.", "ru": "Учётная запись отключена."},
    "seat.offline": {"en": "Offline.", "ru": "Не в сети."},
    "seat.away": {"en": "Away.", "ru": "Нет на месте."},
    "seat.off_shift": {"en": "Off shift.", "ru": "Вне смены."},
    "seat.full": {
        "en": "No room: {taken} of {budget} taken, and this session takes {weight}.",
        "ru": "Нет места: занято {taken} из {budget}, а диалог занимает {weight}.",
    },
    "seat.no_phone": {"en": "Has no phone for calls.", "ru": "Нет телефона для звонков."},
    "seat.on_call": {"en": "Their phone rings, or they talk.", "ru": "Телефон звонит, или идёт разговор."},
    "seat.unskilled": {"en": "Does not have what it asks for: {needs}.", "ru": "Нет того, что нужно диалогу: {needs}."},
    "seat.paced": {
        "en": "Was given one that had waited for the opening just before; the next one comes later.",
        "ru": "Только что уже досталось одно из ждавших открытия; следующее — позже.",
    },
    "seat.asked": {"en": "Asked already in round {n}.", "ru": "Уже спросили: круг {n}."},
    "seat.asked.before": {"en": "Had it just now.", "ru": "Диалог только что был здесь."},
    "seat.kept": {
        "en": "The customer's own operator goes first.",
        "ru": "Сначала спрашивают ответственного за клиента.",
    },
    "seat.later.evenly": {
        "en": "Can take it, but was offered one more recently (turn {turn}; the chosen: {first}).",
        "ru": "Может взять, но предложение уже было позже (номер {turn}; у выбранного: {first}).",
    },
    "seat.later.least_loaded": {
        "en": "Can take it, but has more to do ({percent}% taken; the chosen: {first}%).",
        "ru": "Может взять, но загрузка больше (занято {percent}%; у выбранного: {first}%).",
    },
    "seat.later.strictly": {
        "en": "Can take it, but stands later in the queue's order.",
        "ru": "Может взять, но по порядку очереди стоит дальше.",
    },
    "seat.later": {"en": "Can take it, but others went first.", "ru": "Может взять, но другие были раньше."},
    "seat": {
        "en": "Passed over.",
        "ru": "Пропущено.",
    },
    # --- what became of an offer
    "offer.open": {"en": "Has not answered yet.", "ru": "Ответа ещё нет."},
    "offer.taken": {"en": "Took it.", "ru": "Диалог взят."},
    "offer.declined": {"en": "Declined.", "ru": "Отказ."},
    "offer.ran_out": {"en": "Did not answer in time.", "ru": "Ответа вовремя не было."},
    "offer.withdrawn": {"en": "The offer was withdrawn.", "ru": "Предложение отозвано."},
    "offer.busy": {"en": "The phone was busy.", "ru": "Телефон был занят."},
    "offer.unreachable": {"en": "The phone could not be reached.", "ru": "До телефона не дозвонились."},
    "offer.gone": {"en": "Was not there any more.", "ru": "Уже не на месте."},
    "offer": {"en": "Ended.", "ru": "Завершено."},
    # --- it begins
    "opened": {"en": "A new session. It waits in the line “{line}”.", "ru": "Новый диалог. Он ждёт в линии «{line}»."},
    "opened.outside": {
        "en": "A new session, outside the working hours of the line “{line}”. It waits for the opening.",
        "ru": "Новый диалог в нерабочее время линии «{line}». Он ждёт открытия.",
    },
    "opened.outside.for_good": {
        "en": "A new session, while the line “{line}” is closed and its hours name no opening.",
        "ru": "Новый диалог, пока линия «{line}» закрыта и в её часах работы нет открытия.",
    },
    "opened.shut.outside": {
        "en": "It came outside the working hours of the line “{line}”, which answers by itself then: nobody was asked.",
        "ru": "Обращение пришло в нерабочее время линии «{line}»; тогда она отвечает сама, никого не спрашивали.",
    },
    "opened.shut.voicemail": {
        "en": "A call outside the working hours of the line “{line}”: to voicemail, nobody was asked.",
        "ru": "Звонок в нерабочее время линии «{line}»: на голосовую почту, никого не спрашивали.",
    },
    "opened.shut.forward": {
        "en": "A call outside the working hours of the line “{line}”: forwarded, nobody was asked.",
        "ru": "Звонок в нерабочее время линии «{line}»: переадресован, никого не спрашивали.",
    },
    "opened.shut.hang_up": {
        "en": "A call outside the working hours of the line “{line}”: ended, nobody was asked.",
        "ru": "Звонок в нерабочее время линии «{line}»: завершён, никого не спрашивали.",
    },
    "opened.shut": {
        "en": "It came to the line “{line}” and was closed at once: nobody was asked.",
        "ru": "Обращение пришло в линию «{line}» и сразу закрыто: никого не спрашивали.",
    },
    "opened.shut.callback": {
        "en": "A call outside the working hours of the line “{line}”: to be called back at the opening, nobody was asked.",
        "ru": "Звонок в нерабочее время линии «{line}»: перезвоним после открытия, никого не спрашивали.",
    },
    "call_out": {
        "en": "The customer is to be called from the line “{line}”: nobody is asked before that time.",
        "ru": "Клиенту нужно позвонить с линии «{line}»: до этого времени никого не спрашиваем.",
    },
    "call_out.now": {
        "en": "{who} calls the customer: their own phone rings first.",
        "ru": "{who}: звонок клиенту, сначала вызываем свой телефон.",
    },
    "call_out.no_phone": {
        "en": "{who} wanted to call the customer, and had no phone that was free.",
        "ru": "{who}: звонок клиенту не начат, свободного телефона нет.",
    },
    "reached": {"en": "The customer answered.", "ru": "Клиент ответил."},
    "not_lifted": {
        "en": "{who} did not lift the phone: the customer was not called.",
        "ru": "{who}: трубка не снята, клиенту не звонили.",
    },
    "not_lifted.early": {
        "en": "{who} did not make the call before its time.",
        "ru": "{who}: звонок раньше времени не сделан.",
    },
    "not_reached.customer": {"en": "The customer did not answer.", "ru": "Клиент не ответил."},
    "not_reached.put_down": {
        "en": "{who} put down the phone before the customer had answered.",
        "ru": "{who}: трубка положена, прежде чем клиент ответил.",
    },
    "not_reached.again": {
        "en": "They are called again, by {who} if they are there.",
        "ru": "Позвоним ещё раз, сначала вызываем: {who}.",
    },
    "not_reached.over": {"en": "They are not called again.", "ru": "Больше не звоним."},
    "key.line": {
        "en": "The caller chose the line “{line}” by key.",
        "ru": "Клиент выбрал в меню линию «{line}».",
    },
    "key.operator": {
        "en": "The caller chose {who} by key: they are asked first.",
        "ru": "Клиент выбрал в меню: {who}. Сначала спрашиваем здесь.",
    },
    "key.voicemail": {
        "en": "The caller chose to leave a message.",
        "ru": "Клиент выбрал в меню голосовую почту.",
    },
    "key.callback": {"en": "The caller chose to be called back.", "ru": "Клиент попросил в меню перезвонить."},
    "key.forward": {
        "en": "The caller chose to be put through to a number outside.",
        "ru": "Клиент выбрал в меню внешний номер.",
    },
    "reopened.active": {
        "en": "The customer wrote again. {who} had it before, is there and has room: it is theirs again.",
        "ru": "Клиент написал снова. {who} на месте и может взять: диалог продолжается там же, где был.",
    },
    "reopened.queued": {
        "en": "The customer wrote again, and whoever had it before is not there or has no room. It waits in the queue.",
        "ru": "Клиент написал снова, а прежнего оператора нет на месте или он занят. Диалог ждёт в очереди.",
    },
    "reopened.new": {
        "en": "The customer wrote again. It waits in the queue.",
        "ru": "Клиент написал снова. Диалог ждёт в очереди.",
    },
    "for_its_time": {
        "en": "Nobody is asked before the time that was promised to the customer.",
        "ru": "До времени, назначенного клиенту, никого не спрашиваем.",
    },
    "for_opening": {"en": "The line is closed: it waits for the opening.", "ru": "Линия закрыта: диалог ждёт открытия."},
    "started": {
        "en": "{who} wrote to the customer first.",
        "ru": "{who} пишет клиенту первым сообщением.",
    },
    "started.again": {
        "en": "{who} wrote to the customer, and the session goes on.",
        "ru": "{who} пишет клиенту, диалог продолжается.",
    },
    # --- it is taken, or not
    "taken.offer": {
        "en": "{who} took it.",
        "ru": "{who} берёт диалог.",
    },
    "taken.list": {
        "en": "{who} took it from the list.",
        "ru": "{who} берёт диалог из списка.",
    },
    "responsible": {
        "en": "{who} is responsible for the customer from now on.",
        "ru": "Ответственный за клиента теперь: {who}.",
    },
    "declined.next": {
        "en": "{who} declined. It goes on to the next.",
        "ru": "{who} отказывается. Диалог идёт дальше.",
    },
    "declined.others": {
        "en": "{who} declined. Others are still asked.",
        "ru": "{who} отказывается. Остальных ещё спрашивают.",
    },
    "declined.back": {
        "en": "{who} declined. {back} has it again.",
        "ru": "{who} отказывается. Диалог снова здесь: {back}.",
    },
    "declined.queue": {
        "en": "{who} declined, and {back}, who had passed it on, cannot have it back just now. It waits in the queue.",
        "ru": "{who} отказывается. {back} сейчас не может взять диалог обратно, он ждёт в очереди.",
    },
    "ran_out.next": {
        "en": "{who} did not answer in time. It goes on.",
        "ru": "Ответа вовремя нет: {who}. Диалог идёт дальше.",
    },
    "ran_out.others": {
        "en": "{who} did not answer in time. Others are still asked.",
        "ru": "Ответа вовремя нет: {who}. Остальных ещё спрашивают.",
    },
    "ran_out.back": {
        "en": "{who} did not answer in time. {back} has it again.",
        "ru": "Ответа вовремя нет: {who}. Диалог снова здесь: {back}.",
    },
    "ran_out.queue": {
        "en": "{who} did not answer in time, and {back}, who had passed it on, cannot have it back just now. It waits in the queue.",
        "ru": "Ответа вовремя нет: {who}. {back} сейчас не может взять диалог обратно, он ждёт в очереди.",
    },
    "gone.next": {
        "en": "{who} is not there any more. It goes on.",
        "ru": "{who} уже не на месте. Диалог идёт дальше.",
    },
    "gone.others": {
        "en": "{who} is not there any more. Others are still asked.",
        "ru": "{who} уже не на месте. Остальных ещё спрашивают.",
    },
    "gone.back": {
        "en": "{who} is not there any more. {back} has it again.",
        "ru": "{who} уже не на месте. Диалог снова здесь: {back}.",
    },
    "gone.queue": {
        "en": "{who} is not there any more, and {back}, who had passed it on, cannot have it back just now. It waits in the queue.",
        "ru": "{who} уже не на месте. {back} сейчас не может взять диалог обратно, он ждёт в очереди.",
    },
    "busy.next": {
        "en": "{who} was busy on the phone. It goes on.",
        "ru": "Телефон занят: {who}. Диалог идёт дальше.",
    },
    "busy.others": {
        "en": "{who} was busy on the phone. Others are still asked.",
        "ru": "Телефон занят: {who}. Остальных ещё спрашивают.",
    },
    "busy.back": {
        "en": "{who} was busy on the phone. {back} has it again.",
        "ru": "Телефон занят: {who}. Диалог снова здесь: {back}.",
    },
    "busy.queue": {
        "en": "{who} was busy on the phone, and {back}, who had passed it on, cannot have it back just now. It waits in the queue.",
        "ru": "Телефон занят: {who}. {back} сейчас не может взять диалог обратно, он ждёт в очереди.",
    },
    "unreachable.next": {
        "en": "{who} could not be reached by phone. It goes on.",
        "ru": "Телефон недоступен: {who}. Диалог идёт дальше.",
    },
    "unreachable.others": {
        "en": "{who} could not be reached by phone. Others are still asked.",
        "ru": "Телефон недоступен: {who}. Остальных ещё спрашивают.",
    },
    "unreachable.back": {
        "en": "{who} could not be reached by phone. {back} has it again.",
        "ru": "Телефон недоступен: {who}. Диалог снова здесь: {back}.",
    },
    "unreachable.queue": {
        "en": "{who} could not be reached by phone, and {back}, who had passed it on, cannot have it back just now. It waits in the queue.",
        "ru": "Телефон недоступен: {who}. {back} сейчас не может взять диалог обратно, он ждёт в очереди.",
    },
    "returned.wrote": {
        "en": "The customer wrote again, and {who}, who had it, is not at work any more: back in the queue.",
        "ru": "Клиент написал снова, а {who} уже не на работе: диалог снова в очереди.",
    },
    "returned.vanished": {
        "en": "{who}, who had it, is not there any more. By the line's rule it went back to the queue.",
        "ru": "{who} больше не на связи. По правилу линии диалог вернулся в очередь.",
    },
    "returned.removed": {
        "en": "{who}, who had it, was switched off. It went back to the queue.",
        "ru": "{who}: учётная запись отключена. Диалог вернулся в очередь.",
    },
    "returned.unanswered": {
        "en": "{who}, who had it, did not answer in time. By the line's rule it went back to the queue.",
        "ru": "{who} не отвечает вовремя. По правилу линии диалог вернулся в очередь.",
    },
    "returned.sent_on": {
        "en": "Nobody answered in time. By the line's rule it went to the line “{line}”.",
        "ru": "Никто не ответил вовремя. По правилу линии диалог перешёл в линию «{line}».",
    },
    # --- it is a call
    "rings.own": {"en": "{who} has it ring at their own phone.", "ru": "{who}: вызов на свой телефон."},
    "lifted": {"en": "{who} lifted the phone.", "ru": "{who} снимает трубку."},
    "lifted.late": {
        "en": "{who} lifted the phone as its time was over, and has the call all the same.",
        "ru": "{who} снимает трубку, когда время уже вышло, и всё же говорит с клиентом.",
    },
    "hung_up": {"en": "The talk is over.", "ru": "Разговор окончен."},
    "hung_up.missed": {
        "en": "The caller hung up before anybody had answered.",
        "ru": "Клиент положил трубку, пока никто не ответил.",
    },
    "hung_up.lost": {
        "en": "The telephone exchange knows the call no more: how it ended nobody has seen.",
        "ru": "АТС больше не знает этого звонка: как он закончился, никто не видел.",
    },
    "hung_up.missed.again": {
        "en": "The caller hung up before anybody spoke with them again.",
        "ru": "Клиент положил трубку, не дождавшись продолжения разговора.",
    },
    "waits_again": {"en": "The caller waits again.", "ru": "Клиент снова ждёт."},
    "waits_again.first": {
        "en": "The caller waits again, and {who} is rung first.",
        "ru": "Клиент снова ждёт, первым звоним сюда: {who}.",
    },
    "on_hold": {
        "en": "{who} put the caller on hold.",
        "ru": "{who} ставит звонок на удержание.",
    },
    "settled": {
        "en": "{who} has seen to it: the caller is not waited for any more.",
        "ru": "Разобрано, звонка больше не ждут: {who}.",
    },
    "resumed": {
        "en": "{who} speaks with the caller again.",
        "ru": "{who} снова говорит с клиентом.",
    },
    "resumed.alone": {
        "en": "{who} speaks with the caller again, and {to} is asked no more.",
        "ru": "{who} снова говорит с клиентом. Больше не советуемся: {to}.",
    },
    "not_held": {
        "en": "The telephone exchange could not put the caller on hold: {who} talks on with them.",
        "ru": "АТС не смогла поставить звонок на удержание: {who} говорит с клиентом дальше.",
    },
    "consulted": {
        "en": "{who} calls {to} to ask about the call. The caller is on hold.",
        "ru": "{who} звонит, чтобы посоветоваться: {to}. Клиент на удержании.",
    },
    "consulted.lifted": {
        "en": "{to} lifted the phone and speaks with {who}.",
        "ru": "{to} снимает трубку. Разговор с коллегой: {who}.",
    },
    "consult_ended": {
        "en": "{to} could not be asked. {who} speaks with the caller again.",
        "ru": "Посоветоваться не удалось: {to}. {who} снова говорит с клиентом.",
    },
    "consult_ended.talked": {
        "en": "{to} has been asked. {who} speaks with the caller again.",
        "ru": "Разговор с коллегой окончен: {to}. {who} снова говорит с клиентом.",
    },
    "consult_ended.declined": {
        "en": "{to} declined. {who} speaks with the caller again.",
        "ru": "{to} отказывается. {who} снова говорит с клиентом.",
    },
    "consult_ended.ran_out": {
        "en": "{to} did not lift the phone. {who} speaks with the caller again.",
        "ru": "{to} не снимает трубку. {who} снова говорит с клиентом.",
    },
    "consult_ended.busy": {
        "en": "{to} was busy on the phone. {who} speaks with the caller again.",
        "ru": "Телефон занят: {to}. {who} снова говорит с клиентом.",
    },
    "consult_ended.unreachable": {
        "en": "{to} could not be reached by phone. {who} speaks with the caller again.",
        "ru": "Телефон недоступен: {to}. {who} снова говорит с клиентом.",
    },
    "put_down": {
        "en": "{who} put down the phone: the talk is over.",
        "ru": "{who} кладёт трубку: разговор окончен.",
    },
    "put_down.held": {
        "en": "{who} put down the phone while the caller was on hold.",
        "ru": "{who} кладёт трубку, пока клиент на удержании.",
    },
    "put_down.missing": {
        "en": "{who} was not on the phone any more when the caller was to speak with them again.",
        "ru": "{who} уже не на линии, а клиента нужно было соединить снова.",
    },
    "put_down.handed_over": {
        "en": "{who} put down the phone: {to}, who was asked, has the call now.",
        "ru": "{who} кладёт трубку. Звонок теперь здесь: {to}.",
    },
    "handed_over": {
        "en": "{who} handed the call over to {to}, who was on the phone already.",
        "ru": "{who} передаёт звонок. Теперь с клиентом говорит {to}.",
    },
    "moved": {
        "en": "{who} passed the talk on by phone: {to} speaks with the caller now.",
        "ru": "{who} передаёт разговор с телефона. Теперь с клиентом говорит {to}.",
    },
    "moved.number": {
        "en": "{who} passed the talk on by phone: the caller speaks with the number {number} now.",
        "ru": "{who} передаёт разговор с телефона. Теперь клиент говорит с номером {number}.",
    },
    "moved.number.unknown": {
        "en": "{who} passed the talk on by phone: the caller speaks with a phone that is nobody's here now.",
        "ru": "{who} передаёт разговор с телефона. Теперь клиент говорит с телефоном, которого здесь не знают.",
    },
    "not_answered_outside": {
        "en": "The number outside did not answer.",
        "ru": "Внешний номер не ответил.",
    },
    "listens": {"en": "{who} wants to hear the talk: their phone rings.", "ru": "{who} хочет слышать разговор: телефон звонит."},
    "listens.whisper": {
        "en": "{who} wants to hear the talk and to whisper to the operator: their phone rings.",
        "ru": "{who} хочет слышать разговор и подсказывать оператору: телефон звонит.",
    },
    "listens.barge": {
        "en": "{who} wants to join the talk: their phone rings.",
        "ru": "{who} хочет вступить в разговор: телефон звонит.",
    },
    "hears": {"en": "{who} hears the talk.", "ru": "{who} слышит разговор."},
    "hears.whisper": {
        "en": "{who} hears the talk, and the operator hears them.",
        "ru": "{who} слышит разговор и подсказывает оператору.",
    },
    "hears.barge": {
        "en": "{who} joined the talk: operator and caller hear them.",
        "ru": "{who} вступает в разговор: слышат оператор и клиент.",
    },
    "hears_no_more": {"en": "{who} hears the talk no more.", "ru": "{who} больше не слышит разговор."},
    "hears_no_more.not_lifted": {
        "en": "{who} did not lift the phone to hear the talk.",
        "ru": "{who} не снимает трубку и разговор не слышит.",
    },
    "diverted.unanswered.callback": {
        "en": "Nobody answered: the caller is called back.",
        "ru": "Никто не ответил: клиенту перезвонят.",
    },
    "diverted.outside.callback": {
        "en": "The line is closed: the caller is called back at the opening.",
        "ru": "Линия закрыта: клиенту перезвонят после открытия.",
    },
    "diverted.unanswered": {"en": "Nobody answered.", "ru": "Никто не ответил."},
    "diverted.unanswered.voicemail": {
        "en": "Nobody answered: the caller was asked to leave a message.",
        "ru": "Никто не ответил: клиенту предложили оставить сообщение.",
    },
    "diverted.unanswered.forward": {
        "en": "Nobody answered: the call was forwarded.",
        "ru": "Никто не ответил: звонок переадресован.",
    },
    "diverted.unanswered.hang_up": {
        "en": "Nobody answered: the call was ended.",
        "ru": "Никто не ответил: звонок завершён.",
    },
    "diverted.outside": {"en": "The line is closed.", "ru": "Линия закрыта."},
    "diverted.outside.voicemail": {
        "en": "The line is closed: the caller was asked to leave a message.",
        "ru": "Линия закрыта: клиенту предложили оставить сообщение.",
    },
    "diverted.outside.forward": {
        "en": "The line is closed: the call was forwarded.",
        "ru": "Линия закрыта: звонок переадресован.",
    },
    "diverted.outside.hang_up": {
        "en": "The line is closed: the call was ended.",
        "ru": "Линия закрыта: звонок завершён.",
    },
    # --- it is passed on
    "passed_on.colleague": {
        "en": "{who} passed it on to {to}, who is asked.",
        "ru": "{who} передаёт диалог, ждём ответа: {to}.",
    },
    "passed_on.line": {
        "en": "{who} passed it on to the line “{line}”.",
        "ru": "{who} передаёт диалог в линию «{line}».",
    },
    "passed_on.queue": {
        "en": "{who} put it back into the queue.",
        "ru": "{who} возвращает диалог в очередь.",
    },
    "passed_on.colleague.by_phone": {
        "en": "{who} passed it on by phone to {to}, whose phone rings.",
        "ru": "{who} передаёт звонок с телефона, ждём ответа: {to}.",
    },
    "passed_on.line.by_phone": {
        "en": "{who} passed it on by phone to the line “{line}”.",
        "ru": "{who} передаёт звонок с телефона в линию «{line}».",
    },
    "passed_on.queue.by_phone": {
        "en": "{who} put it back into the queue by phone.",
        "ru": "{who} возвращает звонок в очередь с телефона.",
    },
    "passed_on.number": {
        "en": "{who} passed it on to the number {number}.",
        "ru": "{who} передаёт звонок на номер {number}.",
    },
    "passed_on.number.unknown": {
        "en": "{who} passed it on to a number outside.",
        "ru": "{who} передаёт звонок на внешний номер.",
    },
    "passed_on.number.by_phone": {
        "en": "{who} passed it on by phone to the number {number}.",
        "ru": "{who} передаёт звонок с телефона на номер {number}.",
    },
    "passed_on.number.by_phone.unknown": {
        "en": "{who} passed it on by phone to a number outside.",
        "ru": "{who} передаёт звонок с телефона на внешний номер.",
    },
    "not_passed_on": {
        "en": "{who} passed it on by phone to where there is nobody.",
        "ru": "{who} передаёт звонок с телефона туда, где никого нет.",
    },
    "not_passed_on.colleague": {
        "en": "{who} passed it on by phone to {to}, who cannot have it now.",
        "ru": "{who} передаёт звонок с телефона, но взять его сейчас нельзя: {to}.",
    },
    "assigned": {
        "en": "{who} assigned it to {to}.",
        "ru": "{who} назначает диалог: {to}.",
    },
    "taken_over": {
        "en": "{who} took it over.",
        "ru": "{who} забирает диалог себе.",
    },
    "taken_over.from": {
        "en": "{who} took it over from {back}.",
        "ru": "{who} забирает диалог себе. Раньше он был здесь: {back}.",
    },
    "invited": {
        "en": "{who} asked {to} to join.",
        "ru": "{who} приглашает в диалог: {to}.",
    },
    "joined": {
        "en": "{who} joined.",
        "ru": "{who} присоединяется.",
    },
    "left": {
        "en": "{who} left.",
        "ru": "{who} выходит из диалога.",
    },
    # --- it is put by
    "snoozed": {
        "en": "{who} put it by.",
        "ru": "{who} откладывает диалог.",
    },
    "woke.time": {"en": "Its time has come. {who} has it again.", "ru": "Срок наступил. Диалог снова здесь: {who}."},
    "woke.wrote": {"en": "The customer wrote. {who} has it again.", "ru": "Клиент написал. Диалог снова здесь: {who}."},
    "woke.hand": {
        "en": "{who} goes on with it.",
        "ru": "{who} продолжает диалог.",
    },
    "woke.time.queue": {
        "en": "Its time has come, and {who}, who put it by, is not there or has no room. It waits in the queue.",
        "ru": "Срок наступил, но {who} сейчас не может взять диалог. Он ждёт в очереди.",
    },
    "woke.wrote.queue": {
        "en": "The customer wrote, and {who}, who put it by, is not there or has no room. It waits in the queue.",
        "ru": "Клиент написал, но {who} сейчас не может взять диалог. Он ждёт в очереди.",
    },
    # --- it ends
    "closed.hand": {
        "en": "{who} closed it.",
        "ru": "{who} закрывает диалог.",
    },
    "closed.silence": {
        "en": "Nobody had written for as long as the line allows: it closed by itself.",
        "ru": "Никто не писал столько, сколько допускает линия: диалог закрылся сам.",
    },
    "outcome": {"en": "Outcome: {outcome}.", "ru": "Итог: {outcome}."},
    "spam": {
        "en": "{who} marked it as spam.",
        "ru": "{who} отмечает диалог как спам.",
    },
    "banned": {"en": "The contact is banned.", "ru": "Контакт заблокирован."},
    "unreadable": {
        "en": "Something was decided here that this version cannot read.",
        "ru": "Здесь было решение, которое эта версия не может прочитать.",
    },
}
LANGUAGES = ("en", "ru")
PLURAL_FORMS = {"en": 2, "ru": 3}
"""How many forms a text with a number has."""


def plural(n: int, language: str) -> int:
    """Return which of its plural forms *language* uses for *n*: one and other; in Russian one, few and many."""
    if language != "ru":
        return int(n != 1)
    if n % 10 == 1 and n % 100 != 11:
        return 0
    return 1 if 2 <= n % 10 <= 4 and not 12 <= n % 100 <= 14 else 2


def say(language: str, *keys: str, **values: object) -> str:
    """Return the text of the first of *keys* that there is, with its values; the plural form is chosen by `n`."""
    key = next(key for key in keys if key in WORDS)
    text = WORDS[key][language]
    if isinstance(text, tuple):
        number = values["n"]
        assert isinstance(number, int)
        text = text[plural(number, language)]
    return text.format(**values)
